"""MCP over Streamable HTTP at /mcp: conversations as tools (docs/reference/mcp.md).

Stateless: a session is a name that a client is given and shows again, so that a request sent twice is known; nothing
is kept of it, and any server answers.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley import __version__
from parley.core.blocks import blocks
from parley.core.errors import InvalidRequest, ParleyError
from parley.core.message import Message
from parley.core.turn import Private
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints, Handler, told_route, while_connected
from parley.server.errors import MethodNotAllowed, NotAcceptable, respond
from parley.server.exchange import Kept
from parley.server.live import Live, Lost
from parley.server.parts import Parts
from parley.server.stream import FrameStream
from parley.wire import frames
from parley.wire.mcp import messages, tools
from parley.wire.mcp.messages import Call, Object, RpcError
from parley.wire.mcp.tools import Cancel, GetHistory, ListConversations, SendMessage
from parley.wire.openai.requests import Conversing
from parley.wire.openai.said import Spoken

SERVER = {"name": "parley", "title": "Parley", "version": __version__}
INSTRUCTIONS = "Conversations with assistants, kept by a Parley server: list them, read them, say something in them."
SESSION = "mcp-session-id"
SESSION_ID = re.compile(r"mcp_[A-Za-z0-9_-]{32}")
# Of silence before it is broken.
QUIET_SECONDS = 10
# A comment with ONE newline: no client takes it for an event.
HEARTBEAT = b": hb\n"


class Mcp(Endpoints):
    """The endpoint."""

    async def take(self, request: Request, who: Principal) -> Response:
        """POST /mcp"""
        accept = request.headers.get("accept", "*/*")
        if not any(kind in accept for kind in ("application/json", "application/*", "*/*")):
            raise NotAcceptable("not_acceptable", "The answer is JSON.", param="Accept")
        try:
            call = messages.read(await self._message(request), request.headers)
            self._check_session(call, request)
            if call.id is None:
                return Response(status_code=202)  # there is nothing to do about any notification
            return await self._answer(call, request, who)
        except RpcError as error:
            return answer(error.envelope(), error.status)

    async def _message(self, request: Request) -> Object:
        try:
            return await self.body(request, dict)
        except InvalidRequest as error:
            if error.status != 400:
                raise
            code = messages.INVALID_REQUEST if error.code == "invalid_value" else messages.PARSE_ERROR
            raise RpcError(code, error.message) from None

    def _check_session(self, call: Call, request: Request) -> None:
        given = request.headers.get(SESSION)
        if given is not None and not call.modern and SESSION_ID.fullmatch(given) is None:
            raise RpcError(messages.INVALID_REQUEST, "There is no such session.", answers=call.id, status=404)

    async def _answer(self, call: Call, request: Request, who: Principal) -> Response:
        match call.method:
            case "initialize" if not call.modern:
                session = "mcp_" + secrets.token_urlsafe(24)
                body = messages.initialized(call.params, SERVER, INSTRUCTIONS)
                return answer(call.result(body), 200, {SESSION: session})
            case "server/discover" if call.modern:
                return answer(call.result(messages.discovered(SERVER, INSTRUCTIONS)))
            case "ping":
                return answer(call.result({}))
            case "tools/list":
                if call.params.get("cursor") is not None:
                    raise call.error(messages.INVALID_PARAMS, "There is one page only: `cursor` is not one of ours.")
                more = messages.UNCACHED if call.modern else {}
                return answer(call.result({"tools": tools.listed(), **more}))
            case "tools/call":
                return await self._call(call, request, who)
            case other:
                raise call.error(messages.METHOD_NOT_FOUND, f"There is no method {other[:100]!r} here.")

    # Tools.

    async def _call(self, call: Call, request: Request, who: Principal) -> Response:
        name = call.params.get("name")
        if not isinstance(name, str) or name not in tools.TOOLS:
            raise call.error(messages.INVALID_PARAMS, f"There is no tool {str(name)[:100]!r}.")
        try:
            arguments = tools.read_arguments(name, call.params.get("arguments", {}))
            match arguments:
                case SendMessage():
                    return await self._send(call, request, who, arguments)
                case ListConversations():
                    found = await self._list(who, arguments)
                case GetHistory():
                    found = await self._history(who, arguments)
                case Cancel():
                    found = await self._cancel(who, arguments)
                case _:
                    raise AssertionError(name)
        except Kept as kept:
            return answer(call.result(tools.refused(kept.error)))
        except ParleyError as error:
            return answer(call.result(tools.refused(error)))
        return answer(call.result(tools.told(found)))

    async def _list(self, who: Principal, asked: ListConversations) -> Object:
        found = await self.service.conversations.listing(who.owner, limit=asked.limit, offset=asked.offset)
        return {"conversations": [frames.conversation_body(snapshot) for snapshot in found]}

    async def _history(self, who: Principal, asked: GetHistory) -> Object:
        conversation = await self.lookup.conversation(who, asked.conversation)
        before = -1 if asked.before is None else asked.before
        snapshot = await self.service.conversations.snapshot(conversation, turns=asked.limit, before=before)
        turns = [(turn, frames.turn_body(turn, conversation, snapshot)) for turn in snapshot.turns]
        return tools.history(conversation, turns, snapshot.first, snapshot.total)

    async def _cancel(self, who: Principal, asked: Cancel) -> Object:
        subject = await self.lookup.response(who, asked.response)
        changed, status = await self.service.conversations.cancel(subject.conversation, subject.turn.id)
        return {**tools.place(subject), "status": status, "changed": changed}

    async def _send(self, call: Call, request: Request, who: Principal, asked: SendMessage) -> Response:
        accepted = await self.exchange.accept(
            who,
            Conversing(conversation=asked.conversation),
            [Spoken("message", Message("user", asked.message))],
            Private(),
            model=asked.model or "",
            key=self._key_of(call, request, asked),
            stored=True,
        )
        live = Live(self.parts, who, accepted.conversation, accepted.turn)

        async def leave() -> None:
            live.close()

        try:
            await live.open()
            if "text/event-stream" in request.headers.get("accept", ""):
                return FrameStream(events(call, live), leave, live.outbox)
            result = await while_connected(request, heard(live))
        except BaseException:
            live.close()
            raise
        live.close()
        return answer(call.result(result))

    def _key_of(self, call: Call, request: Request, asked: SendMessage) -> str | None:
        """What the message is known by when it is sent again: as told, else the session's name and the request's id."""
        given = self.key(request) or self.service.key(asked.key)
        session = request.headers.get(SESSION)
        if given is not None or session is None or call.modern:
            return given
        name = b"%s\n%s" % (session.encode(), frames.encode({"id": call.id}))
        return "mcp_" + hashlib.sha256(name).hexdigest()[:40]


async def events(call: Call, live: Live) -> AsyncIterator[bytes]:
    """Server-sent events: notes of progress, if they are wanted, and the result."""
    count = 0
    async for event in live.events():
        if event is None:
            yield HEARTBEAT
        elif event["type"] == "response.output_text.delta" and call.token is not None:
            count += len(event["delta"])
            yield as_event(messages.progress(call.token, count, event["delta"]))
        elif event["type"] == "error" and event["code"] != "response_rewound":
            yield as_event(call.result(tools.unheard(live.subject, event["message"])))
            return
    # What was withdrawn on the way does not matter here: the result is whole.
    waiting = asyncio.ensure_future(heard(live))
    try:
        while not (await asyncio.wait({waiting}, timeout=QUIET_SECONDS))[0]:
            yield HEARTBEAT
        yield as_event(call.result(waiting.result()))
    finally:
        waiting.cancel()


async def heard(live: Live) -> Object:
    """The result of a message, once its turn is over."""
    try:
        subject = await live.wait()
    except Lost as lost:
        return tools.unheard(live.subject, lost.message)
    outcome = subject.turn.outcome
    assert outcome is not None
    return tools.answer(subject, blocks(subject.turn, outcome.body, outcome.pieces))


def as_event(message: Object) -> bytes:
    """A message as a server-sent event."""
    return b"event: message\ndata: %s\n\n" % frames.encode(message)


def tell(error: ParleyError, _: bool) -> Response:
    """The response that tells an error of HTTP: it answers no request in particular."""
    told = RpcError(messages.SERVER_ERROR, error.message, data={"code": error.code, "param": error.param})
    return respond(error, told.envelope())


def routes(parts: Parts) -> list[BaseRoute]:
    """The route. There is no stream of the server's own (GET), and no session to end (DELETE)."""

    async def refuse(request: Request, _: Principal) -> Response:
        error = MethodNotAllowed("method_not_allowed", f"/mcp does not take {request.method}.")
        response = tell(error, False)
        response.headers["allow"] = "POST"
        return response

    handlers: dict[str, Handler] = dict.fromkeys(("GET", "PUT", "PATCH", "DELETE"), refuse)
    return [told_route(parts, "/mcp", {"POST": Mcp(parts).take, **handlers}, tell)]
