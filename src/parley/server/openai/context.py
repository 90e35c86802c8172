"""What a request takes of a model's context: /v1/responses/input_tokens and /v1/responses/compact."""

from typing import Annotated, Any

from msgspec import Meta, json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core.blocks import blocks
from parley.core.errors import InvalidRequest
from parley.core.message import Message
from parley.core.turn import Private, Usage
from parley.core.window import estimate
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints, interrupted
from parley.server.live import Lost
from parley.server.openai.base import route
from parley.server.outcome import check_outcome
from parley.server.parts import Parts
from parley.wire.commands import Instructions, Name
from parley.wire.openai import items, said
from parley.wire.openai.requests import Conversing, Items, Tools, tools_asked
from parley.wire.openai.response import usage_object

INSTRUCTIONS = (
    "You are given a conversation. Write a summary with which it can be continued: what was asked, what was found "
    "and decided, facts, names and numbers that matter, and what is still to be done. Write the summary only."
)


class CountTokens(Conversing, frozen=True, kw_only=True):
    """POST /v1/responses/input_tokens"""

    model: Name | None = None
    input: str | Items | None = None
    instructions: Instructions | None = None
    tools: Tools | None = None


class Compact(Conversing, frozen=True, kw_only=True):
    """POST /v1/responses/compact"""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: str | Items | None = None
    instructions: Instructions | None = None


class Context(Endpoints):
    """The endpoints."""

    async def count(self, request: Request, who: Principal) -> Response:
        """POST /v1/responses/input_tokens: an estimate, as every model counts differently."""
        body = await self.body(request, CountTokens)
        messages = await self._messages(who, body, body.input)
        if body.instructions:
            messages.insert(0, Message("system", body.instructions))
        tools, _ = tools_asked(body.tools or [], None, flat=True)
        messages += [Message("system", json.encode(tool).decode()) for tool in tools]
        tokens = sum(map(estimate, messages))
        return answer({"object": "response.input_tokens", "input_tokens": tokens})

    async def compact(self, request: Request, who: Principal) -> Response:
        """POST /v1/responses/compact: the user's messages, and a summary of everything, by the model."""
        body = await self.body(request, Compact)
        messages = await self._messages(who, body, body.input)
        if not messages:
            raise InvalidRequest("missing_parameter", "There is nothing to compact.", param="input")
        instructions = "\n\n".join(filter(None, (body.instructions, INSTRUCTIONS)))
        accepted = await self.exchange.accept(
            who,
            Conversing(),
            [said.Spoken("input", Message("user", "\n\n".join(map(told, messages))))],
            Private(instructions, whole=True, echo={"store": False, "alone": True}),
            model=body.model,
            key=None,
            stored=False,
        )
        try:
            subject = await self.ended(request, accepted)
        except Lost as lost:
            raise interrupted(lost) from None
        finally:
            await self.exchange.release(accepted)
        check_outcome(subject)
        outcome = subject.turn.outcome
        assert outcome is not None
        found = blocks(subject.turn, outcome.body, outcome.pieces)
        summary = "".join(block.text for block in found if block.kind == "message")
        kept: list[dict[str, Any]] = [
            items.input_item(message, subject.response, number)
            for number, message in enumerate(message for message in messages if message.role == "user")
        ]
        compaction = {
            "id": "cmp_" + subject.response.removeprefix("resp_"),
            "type": "compaction",
            "encrypted_content": said.pack_summary(summary),
        }
        made = {
            "id": subject.response,
            "object": "response.compaction",
            "created_at": subject.turn.created_at // 1000,
            "output": [*kept, compaction],
            "usage": usage_object(outcome.usage or Usage()),
        }
        return answer(made)

    async def _messages(self, who: Principal, behind: Conversing, given: str | list[Any] | None) -> list[Message]:
        """Everything that was said, with what is said now."""
        behind.check()
        spoken = said.items(given) if given else []
        now = await self.exchange.messages(who, spoken) if spoken else ()
        return [*await self.lookup.context(who, behind), *now]


def told(message: Message) -> str:
    """A message as part of a text."""
    calls = "".join(f"\n(calls {call.name} with {call.arguments})" for call in message.calls)
    images = "\n(shows an image)" * len(message.images)
    return f"{message.role}: {message.content}{images}{calls}"


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes."""
    api = Context(parts)
    return [
        route(parts, "/v1/responses/input_tokens", {"POST": api.count}),
        route(parts, "/v1/responses/compact", {"POST": api.compact}),
    ]
