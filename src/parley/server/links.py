"""A conversation as readers of a link follow it: the same log, read only, by socket or events (server.sharing)."""

import contextlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from parley.core.errors import Forbidden, NotFound
from parley.server import bodies
from parley.server.api import MOST, MOST_INDEX, answer
from parley.server.auth import Principal
from parley.server.outbox import Outbox
from parley.server.parts import Parts
from parley.server.service import unknown_conversation
from parley.server.sharing import GONE, NO_LONGER, UNLISTED, Link
from parley.server.socket import Socket, upgrade_required
from parley.wire import frames, shared
from parley.wire.commands import AuthFrame, CancelFrame, Command, FollowFrame, SayFrame


class Links:
    """The endpoints below ``/api/shared``. They ask nobody who they are: whoever has the link reads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._conversations = parts.service.conversations

    async def show(self, request: Request) -> Response:
        """GET /api/shared/{token}"""
        link = await self._link(request)
        turns = bodies.integer(request.query_params, "turns", 50, 0, MOST)
        snapshot = await self._conversations.snapshot(link.conversation, turns=turns)
        # By way of JSON's types, as what hides things there reads what clients are sent.
        return answer(shared.snapshot(msgspec.to_builtins(frames.snapshot_frame(snapshot))), headers=UNLISTED)

    async def history(self, request: Request) -> Response:
        """GET /api/shared/{token}/turns"""
        link = await self._link(request)
        limit = bodies.integer(request.query_params, "limit", 50, 1, MOST)
        before = bodies.integer(request.query_params, "before", -1, 0, MOST_INDEX)
        snapshot = await self._conversations.snapshot(link.conversation, turns=limit, before=before)
        told = msgspec.to_builtins([frames.turn_body(turn, link.conversation, snapshot) for turn in snapshot.turns])
        body = {"object": "list", "data": [shared.turn(turn) for turn in told]}
        return answer(body | {"first": snapshot.first, "total": snapshot.total}, headers=UNLISTED)

    async def events(self, request: Request) -> Response:
        """GET /api/shared/{token}/events"""
        return await self._parts.streams.read(await self._link(request))

    async def _link(self, request: Request) -> Link:
        return await self._parts.sharing.find(request.path_params["token"])


class Reader(Socket):
    """A socket that reads one conversation through a link."""

    def __init__(self, parts: Parts, outbox: Outbox, link: Link, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(parts, outbox, link.reader, scope, receive, send)
        self._link = link

    async def _do(self, command: Command) -> None:
        if isinstance(command, AuthFrame | SayFrame | CancelFrame):
            raise Forbidden("read_only", "Through a link one reads only.")
        if isinstance(command, FollowFrame):
            # From a snapshot, always: behind it the log tells when the link ends.
            command = msgspec.structs.replace(command, after=None)
        await super()._do(command)

    async def _require(self, who: Principal, conversation: str) -> None:
        if conversation != self._link.conversation:
            raise unknown_conversation()


class ReaderEndpoint:
    """The socket's address: looks where the link leads, accepts the connection, serves it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub = self._parts.hub
        link: Link | None = None
        # A browser cannot see why an upgrade fails: it is told by a close code.
        with contextlib.suppress(NotFound):
            link = await self._parts.sharing.find(scope["path_params"]["token"])
        if link is None:
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": GONE, "reason": NO_LONGER})
            return
        outbox = hub.admit(link.reader, link.outbox)
        try:
            await receive()
            await send({"type": "websocket.accept"})
            await Reader(self._parts, outbox, link, scope, receive, send).run()
        finally:
            hub.disconnect(outbox)


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes; open to whoever has a link."""
    links = Links(parts)
    one = "/api/shared/{token}"
    return [
        Route(one, links.show, methods=["GET"]),
        Route(one + "/turns", links.history, methods=["GET"]),
        Route(one + "/events", links.events, methods=["GET"]),
        WebSocketRoute(one + "/socket", ReaderEndpoint(parts)),
        Route(one + "/socket", upgrade_required, methods=["GET"]),
    ]
