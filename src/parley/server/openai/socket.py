"""Responses over a WebSocket: `response.create` in, the events of one response after the other out.

A reader, a writer and one who answers; they end together. Messages wait for their turn in the order they came, also
those that will be refused, so that everything between two answers belongs to one of them.
"""

import asyncio
import logging

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send

from parley.core.errors import InvalidRequest, ParleyError, TooMany
from parley.server.auth import Principal, refused, require_our_page
from parley.server.errors import INTERNAL_ERROR
from parley.server.exchange import Accepted, Kept
from parley.server.gate import RAW_SEND
from parley.server.inbox import Inbox
from parley.server.live import Live
from parley.server.openai.chain import Chain
from parley.server.outbox import INTERNAL, SLOW, TOO_SLOW, Frame, Outbox
from parley.server.parts import Parts
from parley.store.cancelling import cancel
from parley.wire import strict_json
from parley.wire.frames import encode
from parley.wire.openai.events import Event, replay
from parley.wire.openai.response import is_over
from parley.wire.openai.socket import CreateOnSocket, error_message, read_message

log = logging.getLogger(__name__)

# Messages that may wait behind the one that is being answered.
MOST_WAITING = 16
# The connection lasted as long as it may; clients come back from this code by themselves.
GOING_AWAY = 1001
# What the hub tells its own clients, and nobody here would understand.
OURS = frozenset({"ping", "bye"})
# The statuses of a response that another one can go on behind.
GOOD = frozenset({"completed", "incomplete"})


class Socket:
    """One connection."""

    def __init__(self, parts: Parts, outbox: Outbox, who: Principal, receive: Receive, send: Send) -> None:
        self._parts = parts
        self._outbox = outbox
        self._who = who
        self._receive = receive
        self._send = send
        self._chain = Chain(parts, who)
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._answering = False  # one was taken from the line, and is not answered yet
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + parts.config.connection_seconds

    async def run(self) -> None:
        """Serve the connection until it ends."""
        reader = asyncio.create_task(Inbox(self._receive, self._outbox).read(self._line_up))
        writer = asyncio.create_task(self._write())
        server = asyncio.create_task(self._serve())
        # The writer may be stuck behind a client that does not read.
        self._outbox.stalled = writer.cancel
        try:
            # The one who answers ends by itself only to have the connection closed.
            done, _ = await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
            if not reader.done() and (closing := self._outbox.closing) is not None:
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        finally:
            await cancel(reader, writer, server)
            await self._chain.close()

    async def _write(self) -> None:
        send, take = self._send, self._outbox.take
        while (frame := await take()) is not None:
            if frame.kind not in OURS:
                await send({"type": "websocket.send", "text": frame.text})

    async def _line_up(self, text: str) -> None:
        if self._waiting.qsize() - (not self._answering) >= MOST_WAITING:
            error = TooMany("too_many_waiting", "As many messages as may be wait on this connection already.")
            self._put(error_message(error))
        else:
            self._waiting.put_nowait(text)

    async def _serve(self) -> None:
        """Answer one message after the other, as long as the connection may last."""
        while self._outbox.closing is None and self._clock() < self._until:
            try:
                async with asyncio.timeout_at(self._until):
                    text = await self._waiting.get()
            except TimeoutError:
                break
            self._answering = True
            try:
                await self._answer(text)
            except Exception:
                log.exception("a create failed")
                self._put(error_message(INTERNAL_ERROR))
                self._outbox.close(INTERNAL, "our fault: come back")
            finally:
                self._answering = False
        message = "The connection has lasted as long as it may: open another one."
        self._put(error_message(InvalidRequest("websocket_connection_limit_reached", message)))
        self._outbox.close(GOING_AWAY, "open another connection")

    async def _answer(self, text: str) -> None:
        """Answer one message; whatever is wrong with it, or becomes of it, is told."""
        previous = ""
        try:
            value = read_message(text)
            if isinstance(value.get("previous_response_id"), str):
                previous = value["previous_response_id"]
            # One connection is one stream, and nothing waits in the background of it.
            value |= {"stream": None, "background": None}
            body = strict_json.convert(value, CreateOnSocket)
            body.check()
            if body.generate is False:
                for event in replay(await self._chain.warm(body)):
                    await self._tell(event)
                return
            if await self._respond(await self._post(body)):
                return
        except Kept as kept:
            self._put(error_message(kept.error))
        except ParleyError as error:
            self._put(error_message(error))
        await self._chain.evict(previous)

    async def _post(self, body: CreateOnSocket) -> Accepted:
        """Post a turn that can be followed: the place to do so is held before, so that it is not refused behind it."""
        hub = self._parts.hub
        place = hub.admit(self._who)
        try:
            return await self._chain.post(body)
        finally:
            hub.disconnect(place)

    async def _respond(self, accepted: Accepted) -> bool:
        """Tell a response as it happens; tells whether it ended well."""
        good = False
        try:
            live = Live(self._parts, self._who, accepted.conversation, accepted.turn)
            # Nobody takes what it hears only while the client does not take what it is sent.
            live.outbox.stalled = self._fall_behind
            try:
                await live.open()
                async for event in live.events():
                    if event is not None:
                        await self._tell({"status": 500, **event} if event["type"] == "error" else event)
                good = is_over(live.subject.turn) and live.subject.turn.status in GOOD
            finally:
                live.close()
        finally:
            await (self._chain.keep if good else self._chain.drop)(accepted)
        return good

    def _fall_behind(self) -> None:
        self._outbox.close(SLOW, TOO_SLOW)

    async def _tell(self, event: Event) -> None:
        """Send an event, once there is room for it."""
        frame = Frame(event["type"], encode(event))
        await self._outbox.fit(len(frame.data))
        self._outbox.put(frame)

    def _put(self, event: Event) -> None:
        self._outbox.put(Frame(event["type"], encode(event)))


class Endpoint:
    """The address: tells who connects, accepts, serves."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if "origin" not in headers:
            require_our_page(headers)
        who = await self._parts.auth.of_headers(headers, cookies="origin" in headers)
        if who is None:
            raise refused()
        outbox = self._parts.hub.admit(who)
        try:
            await receive()
            await send({"type": "websocket.accept"})
            await Socket(self._parts, outbox, who, receive, scope.get(RAW_SEND, send)).run()
        finally:
            self._parts.hub.disconnect(outbox)


def routes(parts: Parts) -> list[BaseRoute]:
    """The socket; principals are told inside."""
    return [WebSocketRoute("/v1/responses", Endpoint(parts))]
