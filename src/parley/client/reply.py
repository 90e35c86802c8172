"""A reply as a program sees it: text that grows, and what else happens until it is over."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType

from msgspec import Struct

from parley.client.errors import Rewound, model_error
from parley.client.progress import Notice, Progress
from parley.client.values import Receipt
from parley.core.pieces import Channel
from parley.core.turn import Status, TurnError, Usage


class Delta(Struct, frozen=True):
    """More text on a channel."""

    text: str
    channel: Channel = "text"


class Rewind(Struct, frozen=True):
    """Text was withdrawn: so many characters stand on each channel; deltas that follow go on behind them."""

    text: int
    reasoning: int


Change = Delta | Rewind | Notice


class AsyncReply:
    """The answer to a message, while it is written and after.

    It goes on whether anyone looks or not. ``async for delta in reply`` gives its text in pieces and may be left at
    any time; ``await reply`` waits for the end. Both raise when the message was refused (`Error`) or the reply failed
    (`ModelError`); a reply that was stopped or cut short ends without.
    """

    def __init__(self, progress: Progress, cancel: Callable[[Progress], Awaitable[None]]) -> None:
        self._progress = progress
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"<AsyncReply, {self.status}, {self._progress.folded.size()} characters>"

    @property
    def conversation(self) -> str:
        """Id of the conversation."""
        return self._progress.conversation

    @property
    def turn(self) -> str:
        """Id of the turn; "" until the message was accepted."""
        return self._progress.turn

    @property
    def response(self) -> str:
        """Id of the response; "" until the message was accepted."""
        return self._progress.response

    @property
    def receipt(self) -> Receipt | None:
        """Of the message; None until it was accepted, and for a reply that was found, not asked for."""
        return self._progress.receipt

    @property
    def text(self) -> str:
        """The text so far."""
        return self._progress.folded.read("text")

    @property
    def reasoning(self) -> str:
        """What the model thought aloud so far, if it does."""
        return self._progress.folded.read("reasoning")

    @property
    def status(self) -> Status:
        """As of the turn: completed, incomplete, failed and cancelled never change again."""
        return self._progress.status

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self._progress.ended

    @property
    def error(self) -> TurnError | None:
        """Why the reply failed, if it did."""
        return self._progress.error

    @property
    def usage(self) -> Usage:
        """Tokens; zero until the end, and when the model did not tell."""
        return self._progress.usage or Usage()

    @property
    def model(self) -> str:
        """Who answered; "" until the end."""
        return self._progress.model

    @property
    def first_token_ms(self) -> float | None:
        """Milliseconds from the saying to the first text; None until then, or when this client did not see it."""
        first = self._progress.first_at
        return None if first is None else (first - self._progress.said_at) * 1000

    @property
    def seconds(self) -> float | None:
        """Seconds from the first text to the end; None until then, or when this client did not see them."""
        return self._progress.seconds

    async def accepted(self) -> None:
        """Wait until the message is accepted: from then on it is answered, whatever dies.

        Raises:
            Error: it was refused.
        """
        progress = self._progress
        await progress.accepted()
        if not progress.turn and progress.failure is not None:
            raise progress.failure

    async def cancel(self) -> None:
        """Stop it; the text so far stays. Nothing happens when it is over.

        Raises:
            Error: the message was refused, or the server is lost.
        """
        if not self.ended:
            await self._cancel(self._progress)

    async def changes(self) -> AsyncIterator[Change]:
        """Everything that happens to it, from its beginning on, text in as large pieces as there are by then.

        It ends with the reply, and does not raise when the reply failed: see `status` and `error`.

        Raises:
            Error: the message was refused, or the server is lost.
        """
        progress, folded = self._progress, self._progress.folded
        text = reasoning = notices = floors = 0
        while True:
            ended = progress.ended
            for notice in progress.notices[notices:]:
                notices += 1
                yield notice
            unseen = folded.floors[floors:]
            floors += len(unseen)
            stands = min([text, *(floor.text for floor in unseen)])
            stands_reasoning = min([reasoning, *(floor.reasoning for floor in unseen)])
            if (stands, stands_reasoning) != (text, reasoning):
                text, reasoning = stands, stands_reasoning
                yield Rewind(text, reasoning)
            elif more := folded.read("reasoning", reasoning):
                reasoning += len(more)
                yield Delta(more, "reasoning")
            elif more := folded.read("text", text):
                text += len(more)
                yield Delta(more)
            elif ended:
                break
            elif notices == len(progress.notices) and not progress.ended:
                await progress.change()
        if progress.failure is not None:
            raise progress.failure

    async def __aiter__(self) -> AsyncIterator[str]:
        """The text in pieces.

        Raises:
            ModelError: the reply failed.
            Rewound: text that was already given was withdrawn; `text` is right, and iterating anew begins anew.
            Error: the message was refused, or the server is lost.
        """
        given = 0
        async for change in self.changes():
            if isinstance(change, Rewind) and change.text < given:
                raise Rewound("The model was lost and answers differently. Read `text`, or iterate `changes()`.")
            if isinstance(change, Delta) and change.channel == "text":
                given += len(change.text)
                yield change.text
        self._raise()

    def __await__(self) -> Generator[None, None, "AsyncReply"]:
        return self._whole().__await__()

    async def __aenter__(self) -> "AsyncReply":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaving does not stop the reply."""

    async def _whole(self) -> "AsyncReply":
        while not self.ended:
            await self._progress.change()
        self._raise()
        return self

    def _raise(self) -> None:
        if self._progress.failure is not None:
            raise self._progress.failure
        if self.status == "failed":
            raise model_error(self.error)
