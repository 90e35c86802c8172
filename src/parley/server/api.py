"""Conversations, turns and sessions as JSON over HTTP (docs/reference/protocol.md)."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from parley.core.errors import Forbidden, InvalidRequest
from parley.server import bodies
from parley.server.auth import Principal, from_our_page, refused, require_our_page
from parley.server.parts import Parts
from parley.server.sharing import link_of
from parley.wire import frames
from parley.wire.commands import Create, Describe, Empty, Fork, OpenSession, Say
from parley.wire.kept import Restore

T = TypeVar("T")

Handler = Callable[[Request, Principal], Awaitable[Response]]

MOST = 200
MOST_INDEX = 1_000_000


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(frames.encode(body), status, headers, "application/json")


def private(parts: Parts, path: str, handlers: dict[str, Handler]) -> Route:
    """A route for known principals only, with a handler for each method."""

    async def endpoint(request: Request) -> Response:
        handler = handlers.get(request.method) or handlers["GET"]  # a HEAD is a GET whose body is not sent
        return await handler(request, await principal_of(parts, request))

    return Route(path, endpoint, methods=list(handlers))


async def principal_of(parts: Parts, request: Request) -> Principal:
    """Who sends a request.

    Raises:
        Unauthenticated, Forbidden.
    """
    cookies = from_our_page(request.headers, request.method)
    found = await parts.auth.of_headers(request.headers, cookies=cookies)
    if found is None:
        if not cookies:
            require_our_page(request.headers)
        raise refused()
    return found


class Api:
    """The endpoints."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._service = parts.service
        self._config = parts.config

    async def _body(self, request: Request, kind: type[T], *, optional: bool = False) -> T:
        limit, seconds = self._config.body_bytes, self._config.body_seconds
        return await bodies.read_json(request, kind, limit=limit, seconds=seconds, optional=optional)

    def _key(self, request: Request) -> str | None:
        values = request.headers.getlist("idempotency-key")
        if len(values) > 1:
            raise InvalidRequest("invalid_idempotency_key", "There may be one key only.", param="Idempotency-Key")
        return self._service.key(values[0] if values else None, "Idempotency-Key")

    async def create(self, request: Request, who: Principal) -> Response:
        """POST /api/conversations"""
        key = self._key(request)
        body = await self._body(request, Create, optional=True)
        snapshot, new = await self._service.create(who, body, key)
        return answer(frames.conversation_body(snapshot), 201 if new else 200)

    async def index(self, request: Request, who: Principal) -> Response:
        """GET /api/conversations"""
        limit = bodies.integer(request.query_params, "limit", 50, 1, MOST)
        offset = bodies.integer(request.query_params, "offset", 0, 0, MOST_INDEX)
        listing = self._service.conversations.listing
        found = await listing(who.owner, limit=limit, offset=offset)
        # What had expired was taken off the list just now, so that what follows moved up.
        more = await listing(who.owner, limit=1, offset=offset + len(found))
        data = [frames.conversation_body(snapshot) for snapshot in found]
        return answer({"object": "list", "data": data, "has_more": bool(more)})

    async def show(self, request: Request, who: Principal) -> Response:
        """GET /api/conversations/{id}"""
        conversation = await self._own(request, who)
        turns = bodies.integer(request.query_params, "turns", 50, 0, MOST)
        snapshot = await self._service.conversations.snapshot(conversation, turns=turns)
        return answer(frames.snapshot_frame(snapshot))

    async def change(self, request: Request, who: Principal) -> Response:
        """PATCH /api/conversations/{id}"""
        conversation = await self._own(request, who)
        snapshot = await self._service.change(who, conversation, await self._body(request, Describe))
        return answer(frames.conversation_body(snapshot))

    async def description(self, request: Request, who: Principal) -> Response:
        """GET /api/conversations/{id}/description"""
        conversation = await self._own(request, who)
        if not who.privileged:
            raise Forbidden("not_allowed", "Only the owner of the deployment reads instructions and parameters.")
        about = (await self._service.conversations.snapshot(conversation, turns=0)).about
        return answer({**about.public(), "instructions": about.instructions, "parameters": about.parameters})

    async def delete(self, request: Request, who: Principal) -> Response:
        """DELETE /api/conversations/{id}"""
        conversation = request.path_params["id"]
        await self._service.delete(who, conversation)
        return answer({"id": conversation, "object": "conversation.deleted", "deleted": True})

    async def say(self, request: Request, who: Principal) -> Response:
        """POST /api/conversations/{id}/turns"""
        conversation = await self._own(request, who)
        key = self._key(request)
        body = await self._body(request, Say)
        if "text/event-stream" in request.headers.get("accept", ""):
            return await self._parts.streams.say(who, conversation, body, key)
        receipt = await self._service.say(who, conversation, body, key)
        if receipt["replayed"]:
            return answer(receipt, 200, {"idempotent-replayed": "true"})
        return answer(receipt, 202)

    async def history(self, request: Request, who: Principal) -> Response:
        """GET /api/conversations/{id}/turns"""
        conversation = await self._own(request, who)
        limit = bodies.integer(request.query_params, "limit", 50, 1, MOST)
        before = bodies.integer(request.query_params, "before", -1, 0, MOST_INDEX)
        snapshot = await self._service.conversations.snapshot(conversation, turns=limit, before=before)
        data = [frames.turn_body(turn, conversation, snapshot) for turn in snapshot.turns]
        return answer({"object": "list", "data": data, "first": snapshot.first, "total": snapshot.total})

    async def restore(self, request: Request, who: Principal) -> Response:
        """POST /api/conversations/{id}/turns/restore"""
        limits = self._config.limits
        # A few turns at least, with the longest replies; JSON may write a character in as many as six bytes.
        limit = 4 * (limits.message_bytes + 2 * limits.reply_bytes)
        body = await bodies.read_json(request, Restore, limit=limit, seconds=self._config.body_seconds)
        return answer({"written": await self._service.restore(who, request.path_params["id"], body)})

    async def turn(self, request: Request, who: Principal) -> Response:
        """GET /api/conversations/{id}/turns/{turn}"""
        return answer(await self._service.turn(who, request.path_params["id"], request.path_params["turn"]))

    async def cancel(self, request: Request, who: Principal) -> Response:
        """POST /api/conversations/{id}/turns/{turn}/cancel"""
        await self._body(request, Empty, optional=True)
        done = await self._service.cancel(who, request.path_params["id"], request.path_params["turn"])
        return answer({name: done[name] for name in ("turn", "status", "changed")})

    async def queue(self, request: Request, who: Principal) -> Response:
        """GET /api/conversations/{id}/queue"""
        return answer({"object": "list", "data": await self._service.queue(who, request.path_params["id"])})

    async def share(self, request: Request, who: Principal) -> Response:
        """POST /api/conversations/{id}/share"""
        await self._body(request, Empty, optional=True)
        token = await self._parts.sharing.share(who, request.path_params["id"])
        root = request.scope.get("root_path", "")
        return answer({"object": "share", "token": token, "path": f"{root}/s/{token}", "link": link_of(token)}, 201)

    async def unshare(self, request: Request, who: Principal) -> Response:
        """DELETE /api/conversations/{id}/share"""
        await self._parts.sharing.revoke(who, request.path_params["id"])
        return Response(status_code=204)

    async def fork(self, request: Request, who: Principal) -> Response:
        """POST /api/conversations/{id}/fork"""
        conversation = await self._own(request, who)
        key = self._key(request)
        body = await self._body(request, Fork)
        snapshot, new = await self._service.fork(who, conversation, body.turn, key)
        return answer(frames.conversation_body(snapshot), 201 if new else 200)

    async def events(self, request: Request, who: Principal) -> Response:
        """GET /api/conversations/{id}/events"""
        conversation = await self._own(request, who)
        return await self._parts.streams.follow(request, who, conversation)

    async def models(self, _: Request, __: Principal) -> Response:
        """GET /api/models"""
        config = self._config
        limits = {"message_bytes": config.limits.message_bytes}
        default = config.default or None
        body = {"models": config.models, "assistants": config.assistants, "default": default, "limits": limits}
        return answer(body)

    async def open_session(self, request: Request, who: Principal) -> Response:
        """POST /api/sessions"""
        body = await self._body(request, OpenSession)
        return answer(await self._service.open_session(who, body.name), 201)

    async def close_session(self, _: Request, who: Principal) -> Response:
        """DELETE /api/sessions/current"""
        await self._service.close_session(who)
        self._parts.hub.expel(who.token)
        return Response(status_code=204)

    async def _own(self, request: Request, who: Principal) -> str:
        conversation: str = request.path_params["id"]
        await self._service.require(who, conversation)
        return conversation


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes; every one of them is for known principals."""
    api = Api(parts)
    one = "/api/conversations/{id}"
    turn = one + "/turns/{turn}"
    table: dict[str, dict[str, Handler]] = {
        "/api/conversations": {"POST": api.create, "GET": api.index},
        one: {"GET": api.show, "PATCH": api.change, "DELETE": api.delete},
        one + "/description": {"GET": api.description},
        one + "/turns": {"POST": api.say, "GET": api.history},
        one + "/turns/restore": {"POST": api.restore},
        turn: {"GET": api.turn},
        turn + "/cancel": {"POST": api.cancel},
        one + "/queue": {"GET": api.queue},
        one + "/fork": {"POST": api.fork},
        one + "/share": {"POST": api.share, "DELETE": api.unshare},
        one + "/events": {"GET": api.events},
        "/api/models": {"GET": api.models},
        "/api/sessions": {"POST": api.open_session},
        "/api/sessions/current": {"DELETE": api.close_session},
    }
    return [private(parts, path, handlers) for path, handlers in table.items()]
