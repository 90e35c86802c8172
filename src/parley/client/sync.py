"""The client for programs without an event loop: the asynchronous one, in a thread, waited for.

Everything is as in `AsyncClient`, but for this: what is asynchronous there is waited for here, `say` gives its reply
once the message is accepted, and what a reply is only in the end (`text`, `usage`, ...) is waited for when it is asked.
"""

import functools
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

from parley.client.chat import AsyncChat
from parley.client.client import PATIENCE, AsyncClient
from parley.client.portal import Portal
from parley.client.reply import AsyncReply, Change
from parley.client.values import Event, Policy, Receipt, Said
from parley.core.message import Parameters
from parley.core.turn import Status, TurnError, Usage

P = ParamSpec("P")
T = TypeVar("T")


class Twin:
    """Something synchronous around something asynchronous of the same name.

    Args:
        origin: what gave it. It lives as long as this does, for a client that is forgotten is closed.
    """

    def __init__(self, portal: Portal, inner: Any, origin: "Twin | None" = None) -> None:
        self._portal = portal
        self._origin = origin
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner).replace("<Async", "<", 1)


Method = Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]


def waited(method: Method[P, T]) -> Callable[Concatenate[Any, P], T]:
    """The same method, for one who waits for it."""

    @functools.wraps(method)
    def wait(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        portal: Portal = self._portal
        return portal.call(method(self._inner, *args, **kwargs))

    return wait


def iterated(origin: Twin, items: AsyncIterator[T]) -> Iterator[T]:
    """The same items, for one who waits for each; what gave them lives as long."""
    portal = origin._portal
    opened = cast("AsyncGenerator[T, None]", items)
    try:
        while True:
            try:
                item = portal.call(_next(opened))
            except _End:
                return
            yield item
    finally:
        # Not waited for: a forgotten iterator is ended by the collector, in whatever thread that is.
        portal.start(_end(opened))


class _End(Exception):
    """There is no further item."""


async def _next(items: AsyncIterator[T]) -> T:
    # A StopAsyncIteration cannot be raised through a future.
    try:
        return await anext(items)
    except StopAsyncIteration:
        raise _End from None


async def _end(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


class Reply(Twin):
    """The answer to a message, while it is written and after.

    It goes on whether anyone looks or not. ``for delta in reply`` gives its text in pieces and may be left at any
    time; `text` waits for all of it. Both raise when the reply failed (`ModelError`); a reply that was stopped or cut
    short ends without.
    """

    _inner: AsyncReply

    @property
    def conversation(self) -> str:
        """Id of the conversation."""
        return self._inner.conversation

    @property
    def turn(self) -> str:
        """Id of the turn."""
        return self._inner.turn

    @property
    def response(self) -> str:
        """Id of the response."""
        return self._inner.response

    @property
    def receipt(self) -> Receipt | None:
        """Of the message; None for a reply that was found, not asked for."""
        return self._inner.receipt

    @property
    def text(self) -> str:
        """The whole text; waits for the end.

        Raises:
            ModelError: the reply failed; `partial` is what there is of it.
            Error: the server is lost.
        """
        self.wait()
        return self.partial

    @property
    def partial(self) -> str:
        """The text so far."""
        return self._portal.call(_read(self._inner, "text"))

    @property
    def reasoning(self) -> str:
        """What the model thought aloud so far, if it does."""
        return self._portal.call(_read(self._inner, "reasoning"))

    @property
    def status(self) -> Status:
        """As of the turn: completed, incomplete, failed and cancelled never change again."""
        return self._inner.status

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self._inner.ended

    @property
    def error(self) -> TurnError | None:
        """Why the reply failed, if it did so far."""
        return self._inner.error

    @property
    def usage(self) -> Usage:
        """Tokens, zero when the model did not tell; waits for the end.

        Raises:
            Error: as `text`.
        """
        self.wait()
        return self._inner.usage

    @property
    def model(self) -> str:
        """Who answered; waits for the end.

        Raises:
            Error: as `text`.
        """
        self.wait()
        return self._inner.model

    @property
    def first_token_ms(self) -> float | None:
        """Milliseconds from the saying to the first text; None until then, or when this client did not see it."""
        return self._inner.first_token_ms

    @property
    def seconds(self) -> float | None:
        """Seconds from the first text to the end; None until then, or when this client did not see them."""
        return self._inner.seconds

    def wait(self) -> "Reply":
        """Wait for the end.

        Raises:
            ModelError: the reply failed.
            Error: the server is lost.
        """
        self._portal.call(_whole(self._inner))
        return self

    cancel = waited(AsyncReply.cancel)

    def changes(self) -> Iterator[Change]:
        """Everything that happens to it: see `AsyncReply.changes`."""
        return iterated(self, self._inner.changes())

    def __iter__(self) -> Iterator[str]:
        """The text in pieces; raises as `AsyncReply.__aiter__`."""
        return iterated(self, self._inner.__aiter__())

    def __enter__(self) -> "Reply":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaving does not stop the reply."""


class Chat(Twin):
    """A conversation at a server: `AsyncChat`, waited for.

    Attributes:
        id: of the conversation; any client may go on with it, also years later.
    """

    _inner: AsyncChat

    @property
    def id(self) -> str:
        """Id of the conversation; any client may go on with it, also years later."""
        return self._inner.id

    def say(
        self,
        said: Said,
        *,
        key: str | None = None,
        model: str = "",
        assistant: str = "",
        instructions: str = "",
        parameters: Parameters | None = None,
        parent: str | None = None,
        policy: Policy = "enqueue",
    ) -> Reply:
        """Say something here, and wait until it is accepted: see `Client.say`."""
        asked = _ask(
            self._inner.say,
            said,
            key=key,
            model=model,
            assistant=assistant,
            instructions=instructions,
            parameters=parameters,
            parent=parent,
            policy=policy,
        )
        return Reply(self._portal, self._portal.call(asked), self)

    def attach(self, turn: str) -> Reply:
        """The reply of a turn that was asked for earlier: see `AsyncClient.attach`."""
        return Reply(self._portal, self._portal.call(_made(self._inner.attach, turn)), self)

    def follow(self, *, after: str | None = None, until: Literal["idle"] | None = None) -> Iterator[Event]:
        """Everything that happens here: see `AsyncClient.follow`."""
        return iterated(self, self._inner.follow(after=after, until=until))

    get = waited(AsyncChat.get)
    change = waited(AsyncChat.change)
    delete = waited(AsyncChat.delete)


class Client(Twin):
    """A client of one server, for any number of threads.

        with Client() as client:
            chat = client.conversation(system="I name a country, you name its capital.")
            print(chat.say("Italy").text)
            for delta in chat.say("France"):
                print(delta, end="", flush=True)

    Args:
        url: of the server; None takes PARLEY_URL, else http://127.0.0.1:8000. Where neither is and ``with`` opens the
            client, it starts a server (``parley up``) that goes when the client is closed; what was said is kept.
        token: the access key or a session token; None takes PARLEY_TOKEN.
        patience: seconds to wait for a server that was there and is not, before what waits fails as `Unreachable`.
            A server that was never reached fails at once.

    Raises:
        InvalidRequest: the URL or the token cannot be one.
    """

    _inner: AsyncClient

    def __init__(self, url: str | None = None, token: str | None = None, *, patience: float = PATIENCE) -> None:
        portal = Portal()
        try:
            super().__init__(portal, portal.call(_made(AsyncClient, url, token, patience=patience)))
        except BaseException:
            portal.close()
            raise
        # Also when nobody closes it: when it is forgotten, or the program ends.
        self._close = weakref.finalize(self, _close, portal, self._inner)

    @property
    def url(self) -> str:
        """Of the server."""
        return self._inner.url

    @property
    def connected(self) -> bool:
        """Whether there is a line to the server just now."""
        return self._inner.connected

    def close(self) -> None:
        """Let go of the server, once it has what was said last. What was accepted is answered all the same."""
        self._close()

    def __enter__(self) -> "Client":
        try:
            self._portal.call(self._inner.__aenter__())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def conversation(
        self,
        id: str | None = None,  # noqa: A002  (what everybody calls it)
        *,
        system: str = "",
        title: str = "",
        assistant: str = "",
        model: str = "",
        parameters: Parameters | None = None,
        metadata: dict[str, str] | None = None,
        expire: str | int | timedelta | None = None,
    ) -> Chat:
        """A conversation to speak in: see `AsyncClient.conversation`."""
        made = self._inner.conversation(
            id,
            system=system,
            title=title,
            assistant=assistant,
            model=model,
            parameters=parameters,
            metadata=metadata,
            expire=expire,
        )
        return Chat(self._portal, self._portal.call(made), self)

    connect = waited(AsyncClient.connect)
    create = waited(AsyncClient.create)
    conversations = waited(AsyncClient.conversations)
    get = waited(AsyncClient.get)
    change = waited(AsyncClient.change)
    rename = waited(AsyncClient.rename)
    delete = waited(AsyncClient.delete)
    share = waited(AsyncClient.share)
    unshare = waited(AsyncClient.unshare)
    turn = waited(AsyncClient.turn)
    history = waited(AsyncClient.history)
    restore = waited(AsyncClient.restore)
    models = waited(AsyncClient.models)
    cancel = waited(AsyncClient.cancel)

    def say(
        self,
        conversation: str,
        said: Said,
        *,
        key: str | None = None,
        model: str = "",
        assistant: str = "",
        instructions: str = "",
        parameters: Parameters | None = None,
        parent: str | None = None,
        policy: Policy = "enqueue",
    ) -> Reply:
        """Say something, and wait until it is accepted: see `AsyncClient.say`.

        Raises:
            Error: it was refused, or there is no server.
        """
        chat = Chat(self._portal, AsyncChat(self._inner, conversation), self)
        return chat.say(
            said,
            key=key,
            model=model,
            assistant=assistant,
            instructions=instructions,
            parameters=parameters,
            parent=parent,
            policy=policy,
        )

    def attach(self, conversation: str, turn: str) -> Reply:
        """The reply of a turn that was asked for earlier: see `AsyncClient.attach`."""
        return Reply(self._portal, self._portal.call(_made(self._inner.attach, conversation, turn)), self)

    def follow(
        self, conversation: str, *, after: str | None = None, until: Literal["idle"] | None = None
    ) -> Iterator[Event]:
        """Everything that happens in a conversation: see `AsyncClient.follow`."""
        return iterated(self, self._inner.follow(conversation, after=after, until=until))


async def _made(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What has to be made where the loop runs."""
    return make(*args, **kwargs)


async def _ask(say: Callable[P, AsyncReply], *args: P.args, **kwargs: P.kwargs) -> AsyncReply:
    reply = say(*args, **kwargs)
    await reply.accepted()
    return reply


async def _whole(reply: AsyncReply) -> None:
    await reply


async def _read(reply: AsyncReply, channel: Literal["text", "reasoning"]) -> str:
    return reply.text if channel == "text" else reply.reasoning


def _close(portal: Portal, client: AsyncClient) -> None:
    portal.close(client.aclose())
