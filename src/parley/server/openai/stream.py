"""Server-sent events as OpenAI's clients read them: one write an event, no `id:`, no `retry:`, and while nothing
happens a comment with ONE newline: a blank line behind it would be an event without data to many of them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley.server.events import until_disconnect
from parley.server.gate import RAW_SEND
from parley.server.outbox import Outbox
from parley.server.protocols import ABORT
from parley.wire.frames import encode
from parley.wire.openai.events import Event

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # proxies in nginx's manner pass events on at once
]
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


class FrameStream(Response):
    """A response of frames, each written in one piece.

    Args:
        leave: called at the end, whichever side ends it.
        outbox: where the frames come from, if it is one: a client that does not read is cut off.
    """

    def __init__(
        self,
        frames: AsyncIterator[bytes],
        leave: Callable[[], Awaitable[None]] | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._frames = frames
        self._leave = leave
        self._outbox = outbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(until_disconnect(receive))
        writer = asyncio.create_task(self._write(send, scope.get(RAW_SEND, send)))
        if self._outbox is not None:
            self._outbox.stalled = scope.get("extensions", {}).get(ABORT, {}).get("call", writer.cancel)
        try:
            await asyncio.wait({watch, writer}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and not writer.cancelled():
                writer.result()
        finally:
            watch.cancel()
            writer.cancel()
            await asyncio.gather(watch, writer, return_exceptions=True)
            if self._leave is not None:
                await self._leave()

    async def _write(self, begin: Send, send: Send) -> None:
        await begin({"type": "http.response.start", "status": 200, "headers": HEADERS})
        async for frame in self._frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
