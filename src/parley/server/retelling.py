"""A response retold, as it happens, in the words of another protocol: bare `data:` events, each one write."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

from starlette.responses import Response

from parley.core.turn import Turn
from parley.server.auth import Principal
from parley.server.live import Live
from parley.server.parts import Parts
from parley.server.stream import FrameStream
from parley.wire.frames import encode
from parley.wire.openai.events import Event
from parley.wire.openai.response import Subject

DONE = b"data: [DONE]\n\n"
# A comment that no client takes for an event: there is no blank line behind it.
HEARTBEAT = b": hb\n"


class Telling(Protocol):
    """Makes what the other protocol says of a response."""

    def opening(self) -> Iterator[dict[str, Any]]:
        """Before anything is said."""
        ...

    def take(self, event: Event) -> Iterator[dict[str, Any]]:
        """What an event of the response comes to."""
        ...

    def ending(self, turn: Turn) -> Iterator[dict[str, Any]]:
        """The turn is over."""
        ...

    def lost(self, code: str) -> Iterator[dict[str, Any]]:
        """The stream cannot go on."""
        ...


async def retell(
    parts: Parts,
    who: Principal,
    conversation: str,
    turn: str,
    make: Callable[[Subject], Awaitable[Telling]],
    *,
    end: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The stream of a response.

    Args:
        make: what tells it.
        end: what stands behind the last event.

    Raises:
        NotFound, Gone, Unavailable, TooMany.
    """
    live = Live(parts, who, conversation, turn)

    async def leave() -> None:
        live.close()

    try:
        await live.open()
        made = await make(live.subject)
    except BaseException:
        await leave()
        raise
    return FrameStream(retold(live, made, end), leave, live.outbox, headers=headers)


async def retold(live: Live, made: Telling, end: bytes) -> AsyncIterator[bytes]:
    """The frames of a response, up to its end."""
    for each in made.opening():
        yield frame(each)
    lost = ""
    async for event in live.events():
        if event is None:
            yield HEARTBEAT
        elif event["type"] == "error":
            lost = event["code"]
        else:
            for each in made.take(event):
                yield frame(each)
    for each in made.lost(lost) if lost else made.ending(live.subject.turn):
        yield frame(each)
    if end:
        yield end


def frame(value: dict[str, Any]) -> bytes:
    """One event."""
    return b"data: %s\n\n" % encode(value)
