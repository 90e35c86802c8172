"""A response retold, as it happens, in the words of another protocol: bare `data:` events, each one write."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from parley.core.turn import Turn
from parley.server.live import Live
from parley.wire.frames import encode
from parley.wire.openai.events import Event

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


async def retold(live: Live, made: Telling, *, end: bytes = b"") -> AsyncIterator[bytes]:
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
