"""Server-sent events: one conversation followed by one response, each frame one event, written in one piece."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley.core.cursor import START, sequence
from parley.core.errors import InvalidRequest, ParleyError
from parley.server.auth import Principal, refused
from parley.server.errors import NotAcceptable
from parley.server.follower import Follower
from parley.server.gate import RAW_SEND
from parley.server.hub import Hub
from parley.server.outbox import DONE, UNAUTHENTICATED, Frame, Outbox, frame
from parley.server.protocols import ABORT
from parley.server.service import Service, check_cursor
from parley.server.sharing import UNLISTED, Link
from parley.store.cancelling import cancel
from parley.store.conversations import Conversations
from parley.wire import frames
from parley.wire.commands import Say

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies in nginx's manner pass events on at once
]
# How long a browser waits before it comes back by itself.
RETRY = b"retry: 1000\n\n"
SILENCE = b": still here\n\n"

# Tells, for a frame about to be sent, whether to send it and whether to end behind it.
Judge = Callable[[Frame], Awaitable[tuple[bool, bool]]]


class Streams:
    """Makes the responses that follow a conversation."""

    def __init__(self, hub: Hub, service: Service) -> None:
        self._hub = hub
        self._service = service

    async def follow(self, request: Request, who: Principal, conversation: str) -> Response:
        """GET …/events: everything from a cursor on, else from a snapshot."""
        accept = request.headers.get("accept", "*/*")
        if not any(kind in accept for kind in ("text/event-stream", "text/*", "*/*")):
            raise NotAcceptable("not_acceptable", "This is a text/event-stream.", param="Accept")
        last = request.headers.get("last-event-id")
        after = check_cursor(last, "Last-Event-ID") if last else check_cursor(request.query_params.get("after"))
        until = request.query_params.get("until")
        if until not in (None, "idle"):
            raise InvalidRequest("invalid_value", "`until` can only be idle.", param="until")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        outbox = self._hub.admit(who)
        try:
            follower = await self._hub.follow(conversation, outbox, after=after)
            if until is None:
                return EventStream(outbox, until_deleted, lambda: self._leave(follower))
            idle = UntilIdle(self._service.conversations, conversation)
            if await idle.begin(follower.cursor):
                if not outbox.waiting:
                    # Behind a clean end a browser's EventSource comes back for ever, unless it is told so.
                    self._leave(follower)
                    return Response(status_code=204)
                outbox.close(DONE)
            return EventStream(outbox, idle.judge, lambda: self._leave(follower))
        except BaseException:
            self._hub.disconnect(outbox)
            raise

    async def read(self, link: Link) -> Response:
        """GET /api/shared/{token}/events: everything from a snapshot on, for who has a link."""
        outbox = self._hub.admit(link.reader, link.outbox)
        try:
            follower = await self._hub.follow(link.conversation, outbox, after=None)
        except BaseException:
            self._hub.disconnect(outbox)
            raise
        headers = [(name.encode(), value.encode()) for name, value in UNLISTED.items()]
        return EventStream(outbox, until_deleted, lambda: self._leave(follower), headers)

    async def say(self, who: Principal, conversation: str, body: Say, key: str | None) -> Response:
        """POST …/turns: the receipt and the frames of that turn up to its end."""
        outbox = self._hub.admit(who)
        try:
            await self._hub.listen(conversation)
            receipt = await self._service.say(who, conversation, body, key)
            outbox.put(Frame("receipt", frames.encode(receipt), receipt["cursor"], receipt["turn"]))
            follower = await self._hub.follow(conversation, outbox, after=receipt["cursor"] or None)
        except BaseException:
            self._hub.disconnect(outbox)
            raise
        headers = [(b"idempotent-replayed", b"true")] if receipt["replayed"] else []
        return EventStream(outbox, UntilEnd(receipt["turn"]).judge, lambda: self._leave(follower), headers)

    def _leave(self, follower: Follower) -> None:
        self._hub.leave(follower)
        self._hub.disconnect(follower.outbox)


async def until_deleted(frame: Frame) -> tuple[bool, bool]:
    """Everything, for as long as there is a conversation."""
    return True, frame.kind == "deleted"


class UntilEnd:
    """The frames of one turn, up to its end."""

    def __init__(self, turn: str) -> None:
        self._turn = turn

    async def judge(self, frame: Frame) -> tuple[bool, bool]:
        """See `Judge`."""
        if frame.kind == "snapshot":
            return True, self._turn not in msgspec.json.decode(frame.data)["waiting"]
        if frame.kind == "changed" or (frame.turn and frame.turn != self._turn):
            return False, False
        return True, frame.kind in ("end", "deleted")


class UntilIdle:
    """Everything, until nothing waits or runs."""

    def __init__(self, conversations: Conversations, conversation: str) -> None:
        self._conversations = conversations
        self._conversation = conversation
        self._seen = START  # the last cursor sent
        self._idle: str | None = None  # the cursor at which nothing waited or ran

    async def begin(self, cursor: str) -> bool:
        """Look for the first time. Tells whether nothing is to come behind a cursor."""
        self._seen = cursor
        await self._look()
        return self._over

    async def judge(self, frame: Frame) -> tuple[bool, bool]:
        """See `Judge`."""
        self._seen = frame.cursor or self._seen
        if frame.kind == "queued":
            self._idle = None
        elif frame.kind in ("end", "snapshot", "ping"):
            await self._look()
        return True, frame.kind == "deleted" or self._over

    @property
    def _over(self) -> bool:
        return self._idle is not None and sequence(self._seen) >= sequence(self._idle)

    async def _look(self) -> None:
        # A store that is out of reach is asked again at the next ping.
        with contextlib.suppress(ParleyError):
            snapshot = await self._conversations.snapshot(self._conversation, turns=0)
            self._idle = None if snapshot.running or snapshot.waiting else snapshot.cursor


class EventStream(Response):
    """The response that sends what comes into an outbox, until the judge or either side ends it."""

    def __init__(
        self,
        outbox: Outbox,
        judge: Judge,
        leave: Callable[[], None],
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._outbox = outbox
        self._judge = judge
        self._leave = leave
        self._head = [*HEADERS, *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(until_disconnect(receive))
        writer = asyncio.create_task(self._write(send, scope.get(RAW_SEND, send)))
        # A reader that does not read would hold the last words as well: its connection is cut.
        self._outbox.stalled = scope.get("extensions", {}).get(ABORT, {}).get("call", writer.cancel)
        try:
            await asyncio.wait({watch, writer}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and not writer.cancelled():
                writer.result()
        finally:
            self._leave()
            await cancel(watch, writer)

    async def _write(self, begin: Send, send: Send) -> None:
        await begin({"type": "http.response.start", "status": 200, "headers": self._head})
        await send({"type": "http.response.body", "body": RETRY, "more_body": True})
        while (frame := await self._outbox.take()) is not None:
            shown, last = await self._judge(frame)
            if shown:
                await send({"type": "http.response.body", "body": as_event(frame), "more_body": True})
            if last:
                break
        closing = self._outbox.closing
        rest = EXPIRED.event if closing and closing.code == UNAUTHENTICATED else b""
        await send({"type": "http.response.body", "body": rest, "more_body": False})


EXPIRED = frame("error", error=refused().envelope()["error"])


def as_event(frame: Frame) -> bytes:
    """A frame as an event; a ping as a comment, which no client needs to know of."""
    if frame.kind == "ping":
        return SILENCE
    if frame.kind == "bye":
        return b"retry: %d\n%s" % (msgspec.json.decode(frame.data)["retry_ms"], frame.event)
    return frame.event


async def until_disconnect(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
