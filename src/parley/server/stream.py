"""Streams of frames over HTTP, as other people's clients read them: one write a frame, as some take a read for one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley.server.events import until_disconnect
from parley.server.gate import RAW_SEND
from parley.server.outbox import Outbox
from parley.server.protocols import ABORT
from parley.store.cancelling import cancel

HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # proxies in nginx's manner pass events on at once
}


class FrameStream(Response):
    """A response of frames, each written in one piece.

    Args:
        leave: called at the end, whichever side ends it.
        outbox: where the frames come from, if it is one: a client that does not read is cut off.
        kind: their media type.
        headers: more of them.
    """

    def __init__(
        self,
        frames: AsyncIterator[bytes],
        leave: Callable[[], Awaitable[None]] | None = None,
        outbox: Outbox | None = None,
        *,
        kind: str = "text/event-stream; charset=utf-8",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._frames = frames
        self._leave = leave
        self._outbox = outbox
        given = {"content-type": kind, **HEADERS, **(headers or {})}
        self._head = [(name.encode(), value.encode()) for name, value in given.items()]

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
            await cancel(watch, writer)
            if self._leave is not None:
                await self._leave()

    async def _write(self, begin: Send, send: Send) -> None:
        await begin({"type": "http.response.start", "status": 200, "headers": self._head})
        async for frame in self._frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
