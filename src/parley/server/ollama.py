"""Ollama's API: /api/chat, /api/generate and what tells of models (docs/reference/ollama.md).

Stateless, as Ollama is: nothing is kept, and a client that leaves stops its model. The native API has the same prefix
and other paths.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from parley.core.errors import InvalidRequest, NotFound, ParleyError, Unavailable
from parley.core.message import Message
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints, Handler, told_route, while_connected
from parley.server.errors import MethodNotAllowed, respond
from parley.server.live import Live
from parley.server.outcome import QUIET, check_beginning, check_outcome
from parley.server.parts import Parts
from parley.server.stream import FrameStream
from parley.wire.frames import encode
from parley.wire.ollama import models
from parley.wire.ollama.answer import Answer, Object, Times
from parley.wire.ollama.context import pack
from parley.wire.ollama.requests import AskChat, AskGenerate, AskShow
from parley.wire.openai.events import Event
from parley.wire.openai.requests import Conversing
from parley.wire.openai.said import Spoken

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What Ollama has and there is not here.
ABSENT = {
    ("pull", "push", "create", "copy", "delete"): "Models are not managed here: the operator of this server sets them.",
    ("embed", "embeddings"): "There are no embeddings here.",
}


class Speaking:
    """An answer on its way: the model's events as Ollama's objects."""

    def __init__(self, answer: Answer, live: Live, said: list[Message] | None) -> None:
        self._answer = answer
        self._live = live
        self._said = said  # what `context` is to hold besides the answer; None: there is none
        self._times = Times(time.monotonic_ns())

    async def begin(self) -> AsyncIterator[Event | None]:
        """The events, once there is something to say or a silence.

        Raises:
            ParleyError.
        """
        await self._live.open()
        return await check_beginning(self._live, self._timed())

    async def _timed(self) -> AsyncIterator[Event | None]:
        async for event in self._live.events():
            if event is not None and event["type"] == "response.in_progress":
                self._times.began = time.monotonic_ns()
            elif event is not None and event["type"] not in QUIET:
                self._times.spoke = self._times.spoke or time.monotonic_ns()
            yield event

    async def parts(self, events: AsyncIterator[Event | None]) -> AsyncIterator[Object]:
        """The objects before the last.

        Raises:
            ParleyError: there is no more.
        """
        async for event in events:
            if event is None:
                yield self._answer.part(now())
                continue
            if event["type"] == "error":
                raise Unavailable(event["code"], "The answer broke off, and nothing of it is kept: ask again.")
            for part in self._answer.take(event, now()):
                yield part

    def last(self) -> Object:
        """The last object.

        Raises:
            ParleyError: there is no answer.
        """
        self._times.ended = time.monotonic_ns()
        subject = self._live.subject
        check_outcome(subject)
        made = self._answer.last(subject.turn, self._times, now())
        if self._said is not None:
            made["context"] = pack([*self._said, Message("assistant", self._answer.text)])
        return made

    async def lines(self, events: AsyncIterator[Event | None]) -> AsyncIterator[bytes]:
        """All of it as a stream; an error is its last line."""
        try:
            async for part in self.parts(events):
                yield line(part)
            yield line(self.last())
        except ParleyError as error:
            yield line({"error": message_of(error)})

    async def whole(self) -> Object:
        """All of it as one object.

        Raises:
            ParleyError.
        """
        parts = [part async for part in self.parts(await self.begin())]
        return self._answer.whole(parts, self.last())


class Ollama(Endpoints):
    """The endpoints."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        choices = (*parts.config.models, *parts.config.assistants)
        self._names = list(dict.fromkeys(choice.name for choice in choices))

    async def chat(self, request: Request, who: Principal) -> Response:
        """POST /api/chat"""
        return await self._answer(request, who, await self.body(request, AskChat, declared=False))

    async def generate(self, request: Request, who: Principal) -> Response:
        """POST /api/generate"""
        return await self._answer(request, who, await self.body(request, AskGenerate, declared=False))

    async def tags(self, _: Request, __: Principal) -> Response:
        """GET /api/tags"""
        return answer({"models": [models.listed(name) for name in self._names]})

    async def running(self, _: Request, __: Principal) -> Response:
        """GET /api/ps"""
        return answer({"models": [models.running(name) for name in self._names]})

    async def show(self, request: Request, _: Principal) -> Response:
        """POST /api/show"""
        body = await self.body(request, AskShow, declared=False)
        return answer(models.shown(self._model(body.model or body.name)))

    async def version(self, _: Request, __: Principal) -> Response:
        """GET /api/version"""
        return answer({"version": models.VERSION})

    def _model(self, name: str) -> str:
        """A model or an assistant as it is called here; `:latest` stands for nothing.

        Raises:
            InvalidRequest, NotFound.
        """
        if not name:
            raise InvalidRequest("missing_parameter", "model is required", param="model")
        short = name.removesuffix(":latest")
        for each in (name, short):
            if each in self._names:
                return each
        if self.parts.config.models:
            raise NotFound("model_not_found", f"model '{name}' not found", param="model")
        return name

    async def _answer(self, request: Request, who: Principal, body: AskChat | AskGenerate) -> Response:
        body.check()
        model = self._model(body.model)
        spoken, private = body.spoken(), body.private()
        made = Answer(body.kind, body.model, thoughts=body.thoughts)
        if not spoken:
            # Nothing is said: the model is to be loaded, or forgotten. It is one object in either form.
            return answer(made.idle("unload" if body.unloading else "load", now()))
        accepted = await self.exchange.accept(who, Conversing(), spoken, private, model=model, key=None, stored=False)
        live = Live(self.parts, who, accepted.conversation, accepted.turn)
        # Whoever may not say what an assistant said gets nothing to say it with.
        remembered = messages(spoken) if body.kind == "generate" and who.privileged else None
        speaking = Speaking(made, live, remembered)

        async def leave() -> None:
            live.close()
            await self.exchange.release(accepted)

        if body.stream is False:
            try:
                return answer(await while_connected(request, speaking.whole()))
            finally:
                await leave()
        try:
            events = await speaking.begin()
        except BaseException:
            await leave()
            raise
        return FrameStream(speaking.lines(events), leave, live.outbox, kind="application/x-ndjson")


def messages(spoken: list[Spoken]) -> list[Message]:
    """What is said."""
    return [each.message for each in spoken if isinstance(each.message, Message)]


def now() -> str:
    """The time, as RFC 3339 has it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def line(value: Object) -> bytes:
    """A line of a stream."""
    return encode(value) + b"\n"


def message_of(error: ParleyError) -> str:
    """What is wrong, and where, as one text: Ollama's errors have no other field."""
    where = error.param
    return error.message if where is None or where in error.message else f"{where}: {error.message}"


def tell(error: ParleyError, _: bool) -> Response:
    """The response that tells an error."""
    return respond(error, {"error": message_of(error)})


def route(parts: Parts, path: str, handlers: dict[str, Handler]) -> Route:
    """A route of Ollama's, for known principals only: every method has an answer in its form."""

    async def refuse(request: Request, _: Principal) -> Response:
        raise MethodNotAllowed("method_not_allowed", f"{path} does not take {request.method}.")

    return told_route(parts, path, {**dict.fromkeys(METHODS, refuse), **handlers}, tell)


def absent(message: str) -> Callable[[Request, Principal], Awaitable[Response]]:
    """A handler that says that there is no such thing."""

    async def refuse(_: Request, __: Principal) -> Response:
        raise InvalidRequest("not_supported", message)

    return refuse


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes."""
    api = Ollama(parts)
    table: dict[str, dict[str, Handler]] = {
        "/api/chat": {"POST": api.chat},
        "/api/generate": {"POST": api.generate},
        "/api/tags": {"GET": api.tags},
        "/api/ps": {"GET": api.running},
        "/api/show": {"POST": api.show},
        "/api/version": {"GET": api.version},
    }
    for names, message in ABSENT.items():
        table |= {f"/api/{name}": dict.fromkeys(METHODS, absent(message)) for name in names}
    table["/api/blobs/{digest}"] = table["/api/create"]
    return [route(parts, path, handlers) for path, handlers in table.items()]
