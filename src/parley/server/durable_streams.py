"""Durable Streams: a response's events for readers of that protocol, at /streams/{id} (docs/reference/streams.md).

Read-only: what is said is said elsewhere.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core.errors import NotFound, ParleyError, Unauthenticated, Unavailable
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints, told_route, while_connected
from parley.server.errors import respond
from parley.server.live import Live, Lost
from parley.server.outcome import QUIET
from parley.server.parts import Parts
from parley.server.stream import FrameStream
from parley.wire.durable_streams import Asked, Offset, Part, next_cursor, read_query, start_of, withdrawn
from parley.wire.frames import encode
from parley.wire.openai.events import Event
from parley.wire.openai.response import Subject

# How long a reader waits for something new, and how long server-sent events go on: it comes back by itself [5.8].
POLL_SECONDS = 20.0
STREAM_SECONDS = 60.0
# The most bytes of one part, unless one message is longer.
PART_BYTES = 1024 * 1024
# What pages of other origins may read of an answer.
HEADERS = ("etag", "stream-next-offset", "stream-up-to-date", "stream-closed", "stream-cursor")
# A comment with ONE newline: no client takes it for an event.
HEARTBEAT = b": hb\n"
# What is read is somebody's own; kept copies are good as long as their tag is.
KEPT = {"cache-control": "private, no-cache"}
UNKEPT = {"cache-control": "no-store"}


class Reader:
    """Reads the stream of one response. `open` it, and `close` it whatever happens."""

    def __init__(self, parts: Parts, who: Principal, subject: Subject) -> None:
        self.live = Live(parts, who, subject.conversation, subject.turn.id)
        self._events: list[Event] = []  # read, but not yet taken
        self._at = Offset(1, 0)  # of the first of them

    async def open(self, asked: Asked) -> None:
        """Read what stands from an offset on.

        Raises:
            ParleyError: among others Gone: there is no going on from there.
        """
        await self.live.open()
        events = self.live.standing()
        opening = sum(event["type"] in QUIET for event in events)
        start = start_of(asked.offset, self.live.generation, opening, len(events))
        self._events = events[start:]
        self._at = Offset(self.live.generation, start)

    async def close(self) -> None:
        """Read no more."""
        self.live.close()

    def part(self) -> Part:
        """The next part of what was read."""
        found: list[bytes] = []
        size = 0
        for event in self._events:
            message = encode(event)
            if found and size + len(message) > PART_BYTES:
                break
            found.append(message)
            size += len(message)
        del self._events[: len(found)]
        start, rest = self._at, bool(self._events)
        self._at = Offset(self.live.generation, start.number + len(found))
        return Part(start, self._at, found, not rest, self.live.over and not rest)

    def parts(self) -> Iterator[Part]:
        """All of what was read, at least one part."""
        yield self.part()
        while self._events:
            yield self.part()

    async def wait(self) -> None:
        """Wait for something new, for a while.

        Raises:
            Lost.
        """
        if self._events or self.live.over:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                async for batch in self.live.coming():
                    if batch:
                        self._events = batch
                        return

    async def coming(self) -> AsyncIterator[bool]:
        """Tells as often as there is something new to take; False where silence is to be broken.

        Raises:
            Lost.
        """
        async for batch in self.live.coming():
            self._events += batch
            yield bool(batch)


class DurableStreams(Endpoints):
    """The endpoint."""

    async def read(self, request: Request, who: Principal) -> Response:
        """GET, HEAD /streams/{id}"""
        asked = Asked("now", "catch-up") if request.method == "HEAD" else read_query(request.query_params.multi_items())
        subject = await self.lookup.response(who, request.path_params["id"])
        reader = Reader(self.parts, who, subject)
        try:
            await reader.open(asked)
            if asked.mode == "sse":
                return FrameStream(frames(reader, asked), reader.close, reader.live.outbox)
            if asked.mode == "long-poll":
                await while_connected(request, reader.wait())
            part = reader.part()
        except Lost as lost:
            await reader.close()
            raise explained(lost) from None
        except BaseException:
            await reader.close()
            raise
        await reader.close()
        return told(request, asked, part, subject.response)


def told(request: Request, asked: Asked, part: Part, response: str) -> Response:
    """A part as an answer."""
    headers = part.headers()
    if asked.mode == "long-poll":
        if not part.closed:
            headers["stream-cursor"] = str(cursor(asked))
        if not part.messages:
            return Response(status_code=204, headers={**headers, **UNKEPT})
    if asked.offset == "now":
        return Response(part.body, 200, {**headers, **UNKEPT}, "application/json")
    tag = part.etag(response)
    headers |= {"etag": tag, **KEPT}
    if tag in [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(part.body, 200, headers, "application/json")


async def frames(reader: Reader, asked: Asked) -> AsyncIterator[bytes]:
    """The stream as server-sent events. Where it cannot go on it just ends: who comes back is told why."""
    until = time.monotonic() + STREAM_SECONDS
    for part in reader.parts():
        yield part.frames(cursor(asked))
    with contextlib.suppress(Lost):
        async for something in reader.coming():
            if not something:
                yield HEARTBEAT
            else:
                for part in reader.parts():
                    yield part.frames(cursor(asked))
            if time.monotonic() >= until:
                return


def cursor(asked: Asked) -> int:
    """The cursor to give this reader."""
    return next_cursor(asked.cursor, time.time(), random.randint(1, 3600))


def explained(lost: Lost) -> ParleyError:
    """Why a reader has to come back, or cannot."""
    match lost.code:
        case "response_rewound":
            return withdrawn()
        case "response_deleted":
            return NotFound("response_not_found", "No such response.")
        case "not_authenticated":
            return Unauthenticated(lost.code, lost.message)
        case _:
            return Unavailable(lost.code, "Come back with the offset you have.", retry_after=1)


def routes(parts: Parts) -> list[BaseRoute]:
    """The route; to other methods the answer is 405."""
    read = DurableStreams(parts).read
    return [told_route(parts, "/streams/{id}", {"GET": read}, lambda error, _: respond(error))]
