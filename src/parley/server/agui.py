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
from parley.server.parts import Parts
from parley.server.retelling import retell
from parley.server.threads import Saying, Threads, check_replayed
from parley.wire.agui import Run, RunAgentInput
from parley.wire.lines import function_tools
from parley.wire.openai.response import Subject


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
        conversation, turn = await self._say(who, body)

        async def make(subject: Subject) -> Run:
            return Run(subject, body.threadId, body.runId)

        return await retell(self.parts, who, conversation, turn, make)

    async def _say(self, who: Principal, body: RunAgentInput) -> tuple[str, str]:
        """Say what is new; replies the conversation and the turn, which a repeat does not post again."""
        lines, chosen = body.lines(), body.choice()
        choice = (chosen.model or "", chosen.assistant or "")
        self.service.require_choice(*choice)
        asked = Private(parameters=Parameters(tools=function_tools(body.tools or [])))
        conversation = await self.threads.make(who, body.threadId, "threadId")
        key = f"run\n{body.runId}"
        if (found := await self.threads.turn(conversation, key)) is not None:
            if lines[-1].said:
                check_replayed(found, lines[-1].said[-1])
            return conversation, found.id
        place = await self.threads.place(conversation, lines)
        parent, new = place.parent, place.new
        if place.last is not None or not new:
            # The thread is what the client shows: it may have gone back in it, or ask once more.
            parent, new = place.beside()
        return conversation, await self.threads.say(who, place, Saying(key, parent, new), asked, choice=choice)


def routes(parts: Parts) -> list[BaseRoute]:
    """The route."""
    return [private(parts, "/agui", {"POST": Runs(parts).post})]
