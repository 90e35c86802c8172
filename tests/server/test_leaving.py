"""A client that leaves ends the work that is done for it, also when a cancellation is lost on the way.

The Redis client can swallow one: a model that nobody waited for any more was let talk to its end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.types import Message

from parley.server.endpoints import ClientGone, while_connected
from parley.server.stream import FrameStream

SOON = 30.0


async def deaf() -> None:
    """Go on for ever, without having heard the first cancellation."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def gone() -> Message:
    return {"type": "http.disconnect"}


def test_an_answer_that_nobody_waits_for() -> None:
    async def main() -> None:
        async with asyncio.timeout(SOON):
            with pytest.raises(ClientGone):
                await while_connected(Request({"type": "http"}, gone), deaf())

    asyncio.run(main())


def test_a_stream_that_nobody_reads() -> None:
    left = []

    async def frames() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await deaf()

    async def leave() -> None:
        left.append(True)

    async def main() -> None:
        sent: asyncio.Queue[Message] = asyncio.Queue()

        async def receive() -> Message:
            while (await sent.get()).get("body") != b"data: 1\n\n":
                pass
            return await gone()

        async with asyncio.timeout(SOON):
            await FrameStream(frames(), leave)({"type": "http"}, receive, sent.put)
        assert left == [True]

    asyncio.run(main())
