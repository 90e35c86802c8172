"""A reply as it stands here: folded from events and snapshots, with those who wait for a change. No I/O."""

import asyncio
import time
from typing import Literal

from msgspec import Struct

from parley.client.errors import Error
from parley.client.fold import ReplyText
from parley.client.values import Receipt, Turn
from parley.core import event
from parley.core.turn import TERMINAL_STATUSES, Status, TurnError, Usage

NoticeKind = Literal["queued", "started", "delayed", "takeover", "waiting", "disconnected", "reconnected"]


class Notice(Struct, frozen=True):
    """Something happened that is not text.

    `queued`: accepted, `position` turns are ahead. `started`: a worker took it. `delayed`: the model asked to wait
    `seconds`, for `reason`. `takeover`: the worker was lost, another goes on. `waiting`: no worker took it yet,
    for `seconds` now. `disconnected`, `reconnected`: the line to the server.
    """

    kind: NoticeKind
    position: int = 0
    reason: str = ""
    seconds: float = 0.0


class Progress:
    """What is known of one turn's reply. The feed writes it, `Reply` reads it."""

    def __init__(self, conversation: str, turn: str = "") -> None:
        self.conversation = conversation
        self.turn = turn
        self.response = ""
        self.status: Status = "queued"
        self.error: TurnError | None = None
        self.usage: Usage | None = None
        self.model = ""
        self.receipt: Receipt | None = None
        self.failure: Error | None = None  # the message was refused, or the server is lost
        self.folded = ReplyText()
        self.notices: list[Notice] = []
        self.said_at = time.monotonic()
        self.first_at: float | None = None  # when the first text came, if we asked for it and saw it come
        self.seconds: float | None = None
        self._asked = not turn
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in TERMINAL_STATUSES or self.failure is not None

    async def change(self) -> None:
        """Wait for the next change."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    async def accepted(self) -> None:
        """Wait until the message was accepted or refused."""
        while not self.turn and self.failure is None:
            await self.change()

    def accept(self, receipt: Receipt) -> None:
        """The message was accepted."""
        self.receipt, self.turn, self.response = receipt, receipt.turn, receipt.response
        if receipt.position:
            self.notices.append(Notice("queued", position=receipt.position))
        self._wake()

    def notice(self, notice: Notice) -> None:
        """Something happened that is not text."""
        if not self.ended:
            self.notices.append(notice)
            self._wake()

    def fail(self, error: Error) -> None:
        """Nothing more will be heard of it here."""
        if not self.ended:
            self.failure = error
            self._wake()

    def fold(self, happened: event.Event) -> None:
        """Apply an event of the turn; what was applied before does nothing.

        Raises:
            Gap: it does not join what stands.
        """
        if self.ended:
            return
        match happened:
            case event.Started():
                self.status = "in_progress"
                self.notices.append(Notice("started"))
            case event.Delayed():
                self.notices.append(Notice("delayed", reason=happened.reason, seconds=happened.seconds))
            case event.TakenOver():
                self.notices.append(Notice("takeover"))
            case event.Delta():
                self.folded.delta(happened.gen, happened.offset, happened.text, happened.channel)
                self._clock()
            case event.Rewound():
                self.folded.rewind(happened.gen, happened.offset)
            case event.Ended():
                self.folded.check(happened.length)
                self._end(happened.status, happened.error, happened.usage, happened.model)
        self._wake()

    def restore(self, turn: Turn) -> None:
        """Become what a snapshot shows.

        Raises:
            Gap: the snapshot contradicts itself.
        """
        if self.ended:
            return
        self.response = turn.response
        self.folded.replace(turn.gen, turn.length, turn.text, turn.reasoning, turn.tool)
        self._clock()
        if turn.ended:
            self._end(turn.status, turn.error, turn.usage, turn.model)
        else:
            self.status = turn.status
        self._wake()

    def _end(self, status: Status, error: TurnError | None, usage: Usage | None, model: str) -> None:
        self.status, self.error, self.usage, self.model = status, error, usage, model
        if self.first_at is not None:
            self.seconds = time.monotonic() - self.first_at

    def _clock(self) -> None:
        if self._asked and self.first_at is None and self.folded.size():
            self.first_at = time.monotonic()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
