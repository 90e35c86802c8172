"""Server-sent events as OpenAI's clients read them: one write an event, no `id:`, no `retry:`, and while nothing
happens a comment with ONE newline: a blank line behind it would be an event without data to many of them.
"""

from collections.abc import AsyncIterator

from parley.wire.frames import encode
from parley.wire.openai.events import Event

HEARTBEAT = b": hb\n"
DONE = b"data: [DONE]\n\n"


async def as_sse(events: AsyncIterator[Event | None]) -> AsyncIterator[bytes]:
    """The events of a response as frames."""
    failed = False
    async for event in events:
        if event is None:
            yield HEARTBEAT
        else:
            failed = event["type"] == "error"
            yield as_frame(event)
    if not failed:
        yield DONE


def as_frame(event: Event) -> bytes:
    """An event as a frame."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), encode(event))
