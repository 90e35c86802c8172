"""The WebSocket: commands in, frames of any number of conversations out.

A reader and a writer, which end together. Everything that is sent goes through the outbox, so that answers and frames
keep their order and a client that does not read is cut off alone.
"""

import asyncio
import logging
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from parley.core.errors import InvalidRequest, ParleyError, TooLarge, TooMany, Unauthenticated
from parley.server.auth import Principal, refused, require_our_page
from parley.server.errors import INTERNAL_ERROR, of_status
from parley.server.follower import Follower
from parley.server.gate import RAW_SEND, refuse
from parley.server.inbox import Inbox
from parley.server.outbox import INTERNAL, NO_AUTH, UNAUTHENTICATED, Frame, Outbox, frame
from parley.server.parts import Parts
from parley.server.protocols import WRITE
from parley.server.service import check_cursor
from parley.store.cancelling import cancel
from parley.wire import strict_json
from parley.wire.commands import (
    AuthFrame,
    CancelFrame,
    Command,
    FollowFrame,
    PingFrame,
    SayFrame,
    UnfollowFrame,
)
from parley.wire.frames import encode

log = logging.getLogger(__name__)

COMMAND: Any = Command

# Conversations followed by one socket.
FOLLOWED_MOST = 1_000


class Socket:
    """One connection."""

    def __init__(
        self, parts: Parts, outbox: Outbox, who: Principal | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if (write := scope.get("extensions", {}).get(WRITE)) is not None:
            outbox.direct = lambda frame: write["call"](frame.message)
        self._parts = parts
        self._hub = parts.hub
        self._service = parts.service
        self._outbox = outbox
        self._who = who
        self._inbox = Inbox(receive, outbox)
        self._send = scope.get(RAW_SEND, send)
        self._followers: dict[str, Follower] = {}

    async def run(self) -> None:
        """Serve the connection until it ends."""
        reader = asyncio.create_task(self._inbox.read(self._take))
        writer = asyncio.create_task(self._write())
        # The writer may be stuck behind a client that does not read.
        self._outbox.stalled = writer.cancel
        timer = None
        if self._who is None:
            seconds = self._parts.config.auth_seconds
            timer = asyncio.get_running_loop().call_later(seconds, self._miss_auth)
        try:
            done, _ = await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
            if not reader.done() and (closing := self._outbox.closing) is not None:
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        finally:
            if timer is not None:
                timer.cancel()
            for follower in self._followers.values():
                self._hub.leave(follower)
            await cancel(reader, writer)

    def _miss_auth(self) -> None:
        if self._who is None:
            self._outbox.close(NO_AUTH, "nobody said who speaks")

    async def _write(self) -> None:
        send, take = self._send, self._outbox.take
        while (frame := await take()) is not None:
            await send({"type": "websocket.send", "text": frame.text})

    async def _take(self, text: str) -> None:
        """Do what one message asks; whatever is wrong with it is answered."""
        name: str | None = None
        try:
            if len(text) > self._parts.config.body_bytes:
                raise TooLarge("body_too_large", "The message is too long.")
            value = strict_json.decode(text)
            # Before anything in it is refused: who hears of an error without its name waits for an answer for ever.
            name = _name(value)
            strict_json.check(value)
            await self._do(strict_json.convert(value, COMMAND))
        except ParleyError as error:
            self._answer("error", id=name, error=error.envelope()["error"], retry_after=error.retry_after)
            if isinstance(error, Unauthenticated):
                self._outbox.close(UNAUTHENTICATED, "not authenticated")
            elif isinstance(error, InvalidRequest | TooLarge):
                self._inbox.note_bad()
        except Exception:
            log.exception("a command failed")
            self._answer("error", id=name, error=INTERNAL_ERROR.envelope()["error"])
            self._outbox.close(INTERNAL, "our fault: come back with your cursor")

    async def _do(self, command: Command) -> None:
        if isinstance(command, AuthFrame):
            await self._authenticate(command)
            return
        if self._who is None:
            raise refused()
        match command:
            case SayFrame():
                key = self._service.key(command.key)
                receipt = await self._service.say(self._who, command.conversation, command, key)
                self._answer_named("receipt", command.id, receipt)
            case CancelFrame():
                done = await self._service.cancel(self._who, command.conversation, command.turn)
                self._answer_named("cancelled", command.id, {"type": "cancelled", **done})
            case FollowFrame():
                await self._follow(self._who, command)
            case UnfollowFrame():
                follower = self._followers.pop(command.conversation, None)
                if follower is not None:
                    self._hub.leave(follower)
            case PingFrame():
                self._answer("pong", id=command.id)

    async def _authenticate(self, command: AuthFrame) -> None:
        who = await self._parts.auth.of_token(command.token)
        if self._who is not None and who.owner != self._who.owner:
            # Whoever speaks now may not go on reading what another one opened.
            for follower in self._followers.values():
                self._hub.leave(follower)
            self._followers.clear()
        self._hub.assign(self._outbox, who)
        self._who = who
        self._answer("authenticated", id=command.id, name=who.name)

    async def _follow(self, who: Principal, command: FollowFrame) -> None:
        conversation = command.conversation
        await self._require(who, conversation)
        after = check_cursor(command.after)
        before = self._followers.pop(conversation, None)
        if before is not None:
            self._hub.leave(before)
        elif len(self._followers) >= FOLLOWED_MOST:
            raise TooMany("too_many_followed", "This socket follows as many conversations as it may.")
        opening = frame("following", id=command.id, conversation=conversation, cursor=after)
        self._followers[conversation] = await self._hub.follow(
            conversation, self._outbox, after=after, turns=command.turns, opening=opening, name=command.id
        )
        self._followers[conversation].present = command.presence

    async def _require(self, who: Principal, conversation: str) -> None:
        """Make sure that a conversation may be read here.

        Raises:
            NotFound.
        """
        await self._service.require(who, conversation)

    def _answer(self, kind: str, **fields: Any) -> None:
        self._outbox.put(frame(kind, **fields))

    def _answer_named(self, kind: str, name: str | None, body: dict[str, Any]) -> None:
        if name is not None:
            body["id"] = name
        self._outbox.put(Frame(kind, encode(body)))


def _name(value: Any) -> str | None:
    """The client's own name for what it sent, if that can be sent back."""
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) and len(name) <= 64 and name.isprintable() else None


class Endpoint:
    """The socket's address: admits a connection, accepts it, serves it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        who: Principal | None = None
        failure: ParleyError | None = None
        if not self._parts.auth.open and "origin" not in headers:
            require_our_page(headers)
        try:
            who = await self._parts.auth.of_headers(headers, cookies="origin" in headers)
        except Unauthenticated as error:
            failure = error  # a browser cannot see why an upgrade fails: it is told by a close code
        hub = self._parts.hub
        outbox = hub.admit(who or NOBODY)
        try:
            await receive()
            await send({"type": "websocket.accept"})
            if failure is not None:
                await send({"type": "websocket.close", "code": UNAUTHENTICATED, "reason": "not authenticated"})
                return
            await Socket(self._parts, outbox, who, scope, receive, send).run()
        finally:
            hub.disconnect(outbox)


NOBODY = Principal("", "")


async def upgrade_required(_: Request) -> Response:
    """Plain HTTP at the socket's address."""
    return Response(encode(of_status(426)), 426, {"upgrade": "websocket"}, "application/json")


class Nowhere:
    """An upgrade anywhere else."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(Response(encode(of_status(404)), 404, media_type="application/json"), scope, receive, send)


def routes(parts: Parts) -> list[BaseRoute]:
    """The socket; principals are told inside."""
    return [
        WebSocketRoute("/api/socket", Endpoint(parts)),
        Route("/api/socket", upgrade_required, methods=["GET"]),
    ]
