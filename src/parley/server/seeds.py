"""The second seed's own routes, as its clients know them: ``/test``, ``/token``, ``/refresh_token``, ``/chat``.

Whoever has a token of theirs has one conversation, that of its session; the same token works on the native protocol.
"""

import secrets
import uuid
from collections.abc import Awaitable, Callable

from msgspec import UNSET, Struct, UnsetType
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from parley.core import ids
from parley.core.about import About
from parley.core.errors import Forbidden, Gone, InvalidRequest, NotFound, ParleyError
from parley.server import bodies
from parley.server.api import answer, principal_of
from parley.server.auth import CHAT_TOKEN, Principal, principal_of_session
from parley.server.chat import REFUSED, Chat, refusal, start
from parley.server.errors import respond
from parley.server.outbox import RESTART, Close, Outbox
from parley.server.parts import Parts
from parley.server.socket import NOBODY, upgrade_required
from parley.server.turns import Turns
from parley.wire import seeds

TRY_LATER = 1013


class Name(Struct, frozen=True):
    """The body of ``POST /token``, in place of its query. Other fields are ignored, as the seed does."""

    name: str | UnsetType = UNSET


class Refusal(Exception):
    """An answer in the seed's own form."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(status)
        self.response = answer(body, status)


def route(path: str, handler: Callable[[Request], Awaitable[Response]], *methods: str) -> Route:
    """A route whose errors have the form of the seed's framework."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refused:
            return refused.response
        except ParleyError as error:
            return respond(error, seeds.detail(error.message))

    return Route(path, endpoint, methods=list(methods))


class Seeds:
    """The endpoints."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._config = parts.config

    async def test(self, _: Request) -> Response:
        """GET /test"""
        return answer({"msg": "API is Online"})

    async def token(self, request: Request) -> Response:
        """POST /token: a session with a conversation of its own, for the owner of the deployment to hand out."""
        who = await principal_of(self._parts, request)
        if not who.privileged:
            raise Forbidden("not_allowed", "A session cannot make sessions.")
        name = await self._name(request)
        if wrong := seeds.bad_name(name):
            raise Refusal(400, seeds.detail({"loc": "name", "msg": wrong}))
        await self._parts.service.quotas.allow_session()
        token = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
        conversation = ids.conversation_id(secrets.token_bytes(16), len(self._store.keys.shards))
        session = await self._store.sessions.open(token, name, conversation=conversation)
        owner = principal_of_session(session, token).owner
        # It outlives its session, so that renewing the session is enough.
        life = self._config.lifetimes.session_cap
        await self._store.conversations.create(conversation, owner, About(), ttl=life)
        await self._store.conversations.note(owner, conversation)
        return answer(seeds.session(token, session.name, session.started_at, []))

    async def _name(self, request: Request) -> str:
        name = request.query_params.get("name")
        if name is not None:
            return name
        if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
            raise Refusal(422, seeds.missing("name"))
        config = self._config
        try:
            body = await bodies.read_json(request, Name, limit=config.body_bytes, seconds=config.body_seconds)
        except InvalidRequest as error:
            if error.code != "invalid_value":
                raise
            wrong = {"type": "string_type", "loc": ["body", "name"], "msg": "Input should be a valid string"}
            raise Refusal(422, seeds.detail([wrong])) from None
        if body.name is UNSET:
            raise Refusal(422, seeds.missing("name", "body"))
        return body.name

    async def refresh(self, request: Request) -> Response:
        """GET /refresh_token: the session and all that was said in it; it is renewed."""
        token = token_of(request.query_params, request.headers)
        if token is None:
            raise Refusal(422, seeds.missing("token"))
        who = await self._who(token)
        if who is None or who.session is None:
            raise expired()
        turns = Turns(self._store.conversations, who.session.conversation)
        try:
            messages = [line async for place, turn in turns.all() for line in seeds.history(turn, place)]
        except (NotFound, Gone):
            raise expired() from None
        return answer(seeds.session(token, who.name, who.session.started_at, messages))

    async def _who(self, token: str | None) -> Principal | None:
        """Whom a token stands for, renewed; None when it is none of ours, or over."""
        if token is None or CHAT_TOKEN.fullmatch(token) is None:
            return None
        session = await self._store.sessions.find(token)
        return None if session is None else principal_of_session(session, token)

    async def chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """WebSocket /chat. A browser cannot see why an upgrade fails, so whoever is refused is told by a close code."""
        query = QueryParams(scope["query_string"])
        await receive()
        await send({"type": "websocket.accept"})
        hub = self._parts.hub
        outbox: Outbox | None = None
        closing: Close | None = None
        try:
            outbox = hub.admit(NOBODY)
            who = await self._who(token_of(query, Headers(scope=scope)))
            if who is None or who.session is None:
                closing = REFUSED
            else:
                hub.assign(outbox, who)
                await self._serve(who, who.session.conversation, query.get("after"), outbox, receive, send)
        except (NotFound, Gone):
            closing = REFUSED
        except ParleyError as error:
            closing = Close(RESTART if hub.draining else TRY_LATER, error.message)
        finally:
            if outbox is not None:
                hub.disconnect(outbox)
        if closing is not None:
            await send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    async def _serve(
        self, who: Principal, conversation: str, after: str | None, outbox: Outbox, receive: Receive, send: Send
    ) -> None:
        turns = Turns(self._store.conversations, conversation)
        try:
            place = await start(turns, after)
        except InvalidRequest as error:
            outbox.put(refusal(error))
            place = await start(turns, None)
        follower = await self._parts.hub.follow(conversation, outbox, turns=0)
        try:
            await Chat(self._parts, outbox, who, conversation, place, receive, send).run()
        finally:
            self._parts.hub.leave(follower)


def expired() -> Refusal:
    """The one refusal of a token that is unknown or over."""
    return Refusal(400, seeds.detail(seeds.EXPIRED))


def token_of(query: QueryParams, headers: Headers) -> str | None:
    """The token somebody shows: in the query, as the seed's clients do, or where proxies do not write it down."""
    token = query.get("token")
    if token is None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None
    return token


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes. /test is open to everyone; /token is for the owner; the others are for whoever has a token."""
    endpoints = Seeds(parts)
    return [
        route("/test", endpoints.test, "GET"),
        route("/token", endpoints.token, "POST"),
        route("/refresh_token", endpoints.refresh, "GET", "POST"),
        WebSocketRoute("/chat", ChatEndpoint(endpoints)),
        Route("/chat", upgrade_required, methods=["GET"]),
    ]


class ChatEndpoint:
    """The socket's address, as an ASGI application."""

    def __init__(self, seeds: Seeds) -> None:
        self._chat = seeds.chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._chat(scope, receive, send)
