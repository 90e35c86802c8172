"""The first seed's routes without its platform: its streamer's, its page's, and an action for each assistant.

Every reply of an action, errors as well, has the keys that the seed's page knows and no others (wire.serverless).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from parley.core.errors import Forbidden, InvalidRequest, NotFound, ParleyError
from parley.server import bodies
from parley.server.actions import Action, Answer
from parley.server.api import answer
from parley.server.auth import Principal, refused
from parley.server.errors import INTERNAL_ERROR, respond
from parley.server.events import until_disconnect
from parley.server.logins import GUESTS, Logins, principal_of_user
from parley.server.parts import Parts
from parley.server.passwords import GUEST
from parley.server.protocols import ABORT
from parley.store.cancelling import cancel
from parley.wire import serverless
from parley.wire.serverless import Asked, LogIn, Shown

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]

NAMESPACE = "parley"
# The packages our actions are found in; an action in none is in the platform's `default`.
PACKAGES = frozenset({"parley", "my", "default"})
# The action of the default model, unless an assistant has that name.
DEFAULT_ACTION = "assistant"
# How long anybody waits for a reply at most: the proxies in front of the seed's streamer cut at 300 s.
MOST_SECONDS = 280.0
# Between two objects of a stream: the seed's readers take what comes in one read for one object.
SPACING = 0.025
HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-accel-buffering", b"no")]


class Call(Struct, frozen=True):
    """What somebody asks of an action, and until when there is time for it (of `time.monotonic`)."""

    action: Action
    said: serverless.Said
    state: str
    key: str | None
    until: float

    async def answer(self) -> Answer:
        """Begin to answer.

        Raises:
            ParleyError: nothing was begun.
        """
        return await self.action.hear(self.said, self.state, self.key)


class Serverless:
    """The endpoints."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._config = parts.config
        self._logins = Logins(parts.config.users, parts.store.sessions, parts.config.limits.logins)

    # The page's own.

    async def index(self, request: Request) -> Response:
        """GET /api/my/mastrogpt/index: open to everybody where users log in, as it is asked for before."""
        if not self._logins.any:
            await self._of_headers(request)
        names = [choice.name for choice in self._config.assistants]
        services = [(name, f"{NAMESPACE}/{quote(name, safe='')}") for name in names]
        if DEFAULT_ACTION not in names:
            services.insert(0, (self._config.default or "Assistant", f"{NAMESPACE}/{DEFAULT_ACTION}"))
        return answer(serverless.index(NAMESPACE, "Parley", services))

    async def log_in(self, request: Request) -> Response:
        """POST /api/my/mastrogpt/login"""
        body = await self._body(request, LogIn)
        token = await self._logins.log_in(body.username, body.password)
        # The seed's third value opens its object storage; here is none.
        return answer({"authenticated": True, "token": token, "s3_key": ""} if token else {"authenticated": False})

    async def display(self, request: Request) -> Response:
        """POST /api/my/mastrogpt/display: open to everybody, as it only makes HTML of what it is sent."""
        return HTMLResponse(serverless.display(await self._body(request, Shown)))

    # The actions.

    async def reply(self, request: Request) -> Response:
        """/api/my/{pkg}/{action}: a whole reply."""
        call = await self._call(request)
        told = await call.answer()
        try:
            output = "".join([text async for text in told.texts(call.until)])
            await told.settle(heard=True)
        finally:
            told.close()
        return answer(serverless.reply(output, told.state))

    async def stream(self, request: Request) -> Response:
        """/web/…: a reply as it is written."""
        call = await self._call(request)
        return Stream(await call.answer(), call.until)

    async def stream_private(self, request: Request) -> Response:
        """/action/…: the same, only for those who show a key."""
        if "authorization" not in request.headers:
            raise InvalidRequest("not_authenticated", "Missing Authorization header")
        return await self.stream(request)

    async def _call(self, request: Request) -> Call:
        """What is asked, and by whom.

        Raises:
            ParleyError.
        """
        began = time.monotonic()
        asked = await self._body(request, Asked)
        who = await self._who(request, asked)
        name = request.path_params["action"]
        known = any(choice.name == name for choice in self._config.assistants)
        if request.path_params.get("pkg", "default") not in PACKAGES or not (known or name == DEFAULT_ACTION):
            raise NotFound("action_not_found", "The requested resource does not exist.")
        key = bodies.idempotency_key(request.headers.getlist("idempotency-key"), self._config.limits.key_chars)
        said = serverless.parse(asked.input, [choice.name for choice in self._config.models])
        until = began + min(asked.seconds or MOST_SECONDS, MOST_SECONDS)
        return Call(Action(self._parts, who, name if known else ""), said, asked.state or "", key, until)

    async def _who(self, request: Request, asked: Asked) -> Principal:
        """Who asks: the user of a token, or of an action that speaks for its users, else whoever shows a key.

        Raises:
            Unauthenticated, Forbidden, Unavailable.
        """
        if asked.token:
            return await self._logins.of_token(asked.token)
        shown = await self._of_headers(request)
        if asked.user:
            if not shown.privileged:
                raise Forbidden("not_allowed", "Only the owner of the deployment speaks for others.")
            if asked.user == GUEST:
                return GUESTS
            if not serverless.USER.fullmatch(asked.user):
                raise InvalidRequest("invalid_value", "Nobody can be called this.", param="user")
            return principal_of_user(asked.user)
        if self._logins.any and "authorization" not in request.headers:
            raise refused()  # on an open server, too, a user is asked to log in
        return shown

    async def _of_headers(self, request: Request) -> Principal:
        """Whoever shows a key. Cookies do not count: the seed's page is another one than ours."""
        found = await self._parts.auth.of_headers(request.headers, cookies=False)
        if found is None:
            raise refused()
        return found

    async def _body(self, request: Request, kind: type[T]) -> T:
        config = self._config
        return await bodies.read_json(
            request, kind, limit=config.body_bytes, seconds=config.body_seconds, optional=kind is Asked
        )


class Stream(Response):
    """A reply as lines, one object each: its state, its text, its end. When the reader goes, the reply goes on."""

    def __init__(self, told: Answer, until: float) -> None:
        self._told = told
        self._until = until
        self._last = 0.0  # when a line was sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(until_disconnect(receive))
        writer = asyncio.create_task(self._write(send))
        if self._told.telling is not None:
            abort = scope.get("extensions", {}).get(ABORT, {}).get("call", writer.cancel)
            self._told.telling.on_stall(abort)
        try:
            await asyncio.wait({watch, writer}, return_when=asyncio.FIRST_COMPLETED)
            failed = writer.exception() if writer.done() and not writer.cancelled() else None
            if failed is not None and not isinstance(failed, OSError):
                log.error("a stream failed", exc_info=failed)
            if not writer.done() or failed is not None:
                await self._settle(heard=False)
        finally:
            self._told.close()
            await cancel(watch, writer)

    async def _settle(self, *, heard: bool) -> None:
        try:
            await self._told.settle(heard=heard)
        except ParleyError as error:
            log.info("how far a reply was told was not kept: %s", error.code)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        if self._told.state is not None:
            await self._line(send, serverless.line(state=self._told.state))
        try:
            async for text in self._told.texts(self._until):
                for part in serverless.cut(text):
                    await self._line(send, serverless.line(output=part))
            # Before the end is told: whoever has read it may ask for the rest at once.
            await self._settle(heard=True)
            if self._told.unfinished and self._told.state is not None:
                await self._line(send, serverless.line(state=self._told.state))
        except ParleyError as error:
            await self._line(send, serverless.line(output=f"\n\n{serverless.failure(error.message)}"))
        await self._line(send, serverless.END)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _line(self, send: Send, line: bytes) -> None:
        wait = self._last + SPACING - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        await send({"type": "http.response.body", "body": line, "more_body": True})
        self._last = time.monotonic()


def as_reply(error: ParleyError) -> Response:
    """An error as the reply of an action: the page shows it, and nothing else happens."""
    return respond(error, {"output": serverless.failure(error.message)})


def as_stream(error: ParleyError) -> Response:
    """An error as a stream."""
    response = respond(error)
    response.body = serverless.line(output=serverless.failure(error.message)) + serverless.END
    response.headers["content-length"] = str(len(response.body))
    response.headers["content-type"] = HEADERS[0][1].decode()
    return response


def as_login(error: ParleyError) -> Response:
    """An error as the reply to a login."""
    return respond(error, {"authenticated": False})


def route(path: str, handler: Handler, form: Callable[[ParleyError], Response], *methods: str) -> Route:
    """A route whose errors have a form of their own."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except ParleyError as error:
            return form(error)
        except Exception:
            log.exception("an action failed")
            return form(INTERNAL_ERROR)

    return Route(path, endpoint, methods=list(methods))


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes. Actions are for principals; the page's own say themselves what they are open for."""
    endpoints = Serverless(parts)
    both = ("GET", "POST")
    made: list[BaseRoute] = [
        route("/api/my/mastrogpt/index", endpoints.index, as_reply, "GET"),
        route("/api/my/mastrogpt/login", endpoints.log_in, as_login, "POST"),
        route("/api/my/mastrogpt/display", endpoints.display, respond, "POST"),
        route("/api/my/{pkg}/{action:path}", endpoints.reply, as_reply, *both),
    ]
    for prefix, handler in (("/web", endpoints.stream), ("/action", endpoints.stream_private)):
        made.append(route(prefix + "/{ns}/{action}", handler, as_stream, *both))
        made.append(route(prefix + "/{ns}/{pkg}/{action:path}", handler, as_stream, *both))
    return made
