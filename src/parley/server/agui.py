"""AG-UI: /agui (docs/reference/ui-protocols.md). The id of a run is its idempotency key: run again, it is retold."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core.errors import InvalidRequest
from parley.core.message import Parameters
from parley.core.turn import Private
from parley.server.api import private
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints
from parley.server.live import Live
from parley.server.parts import Parts
from parley.server.retelling import retold
from parley.server.stream import FrameStream
from parley.server.threads import Saying, Threads, check_replayed
from parley.wire.agui import Run, RunAgentInput
from parley.wire.lines import function_tools


class Runs(Endpoints):
    """The endpoint."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.threads = Threads(parts)

    async def post(self, request: Request, who: Principal) -> Response:
        """POST /agui"""
        body = await self.body(request, RunAgentInput)
        if not body.runId or len(body.runId) > self.parts.config.limits.key_chars:
            raise InvalidRequest("invalid_value", "`runId` must be a short text.", param="runId")
        lines = body.lines()
        chosen = body.choice()
        choice = (chosen.model or "", chosen.assistant or "")
        self.service.require_choice(*choice)
        asked = Private(parameters=Parameters(tools=function_tools(body.tools or [])))
        conversation = await self.threads.make(who, body.threadId, "threadId")
        key = f"run\n{body.runId}"
        found = await self.threads.turn(conversation, key)
        if found is not None:
            if lines[-1].said:
                check_replayed(found, lines[-1].said[-1])
            turn = found.id
        else:
            place = await self.threads.place(conversation, lines)
            parent, new = place.parent, place.new
            if place.last is not None or not new:
                # The thread is what the client shows: it may have gone back in it, or ask once more.
                parent, new = place.beside()
            turn = await self.threads.say(who, place, Saying(key, parent, new), asked, choice=choice)
        return await self._stream(who, conversation, turn, body)

    async def _stream(self, who: Principal, conversation: str, turn: str, body: RunAgentInput) -> Response:
        live = Live(self.parts, who, conversation, turn)

        async def leave() -> None:
            live.close()

        try:
            await live.open()
        except BaseException:
            await leave()
            raise
        return FrameStream(retold(live, Run(live.subject, body.threadId, body.runId)), leave, live.outbox)


def routes(parts: Parts) -> list[BaseRoute]:
    """The route."""
    return [private(parts, "/agui", {"POST": Runs(parts).post})]
