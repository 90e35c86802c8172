"""The response object: a turn as OpenAI's clients know it. The same whoever asks, whenever, unless it goes on.

What only this interface understands is kept in the turn's `echo`; `Echo` reads it.
"""

from typing import Any

import msgspec
from msgspec import Struct, field

from parley.core import ids
from parley.core.blocks import Block
from parley.core.message import Parameters
from parley.core.turn import TERMINAL_STATUSES, Private, Turn, TurnError, Usage
from parley.wire.openai.items import output_items

ERRORS = {
    "upstream_rate_limited": "rate_limit_exceeded",
    "context_too_long": "invalid_prompt",
}
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Echo(Struct, frozen=True, omit_defaults=True):
    """What a create said that is for showing it again. `alone`: it named no conversation.

    `previous`: what it goes on behind, where that stands elsewhere than its turn.
    """

    alone: bool = False
    previous: str = ""
    store: bool = True
    background: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    text: dict[str, Any] | None = None
    tool_choice: Any = None
    reasoning: dict[str, Any] | None = None
    truncation: str = ""
    max_tool_calls: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None


class Subject(Struct, frozen=True):
    """What a response is made of. `default`: the model's name when none was asked for."""

    conversation: str
    turn: Turn
    private: Private
    default: str = ""

    @property
    def response(self) -> str:
        """Its id."""
        return ids.response_id(self.conversation, self.turn.id)

    @property
    def echo(self) -> Echo:
        """What its create said; the defaults, when the turn was said on another interface."""
        return msgspec.convert(self.private.echo, Echo)


def response_object(subject: Subject, found: list[Block], *, status: str = "") -> dict[str, Any]:
    """The response, with as much of its reply as `found` holds.

    Args:
        status: the one to show while the turn has not ended; else the turn's own counts.
    """
    turn, private, echo = subject.turn, subject.private, subject.echo
    parameters, outcome = private.parameters, turn.outcome
    shown: dict[str, Any] = {
        "id": subject.response,
        "object": "response",
        "created_at": turn.created_at // 1000,
        "completed_at": outcome.ended_at // 1000 if outcome and outcome.status == "completed" else None,
        "status": status or turn.status,
        "background": echo.background,
        "error": _error(outcome.error) if outcome else None,
        "incomplete_details": None,
        "instructions": private.instructions or None,
        "max_output_tokens": parameters.max_tokens,
        "max_tool_calls": echo.max_tool_calls,
        "model": turn.request.assistant or turn.request.model or subject.default,
        "output": output_items(found, subject.response, turn),
        "parallel_tool_calls": parameters.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **(echo.reasoning or {})},
        "store": echo.store,
        "temperature": 1.0 if parameters.temperature is None else parameters.temperature,
        "top_p": 1.0 if parameters.top_p is None else parameters.top_p,
        "presence_penalty": parameters.presence_penalty or 0.0,
        "frequency_penalty": parameters.frequency_penalty or 0.0,
        "top_logprobs": 0,
        "text": {"format": {"type": "text"}, **(echo.text or {})},
        "tool_choice": "auto" if echo.tool_choice is None else echo.tool_choice,
        "tools": _tools(parameters),
        "truncation": echo.truncation or "auto",
        "usage": usage_object(outcome.usage) if outcome and outcome.usage else None,
        "metadata": echo.metadata,
        "service_tier": echo.service_tier or "default",
        "safety_identifier": echo.safety_identifier,
        "prompt_cache_key": echo.prompt_cache_key,
        "user": echo.user,
    }
    if outcome and outcome.status == "incomplete":
        reason = INCOMPLETE.get(outcome.finish_reason, "max_output_tokens")
        shown["incomplete_details"] = {"reason": reason}
    if not echo.alone:
        shown["conversation"] = {"id": subject.conversation}
    elif echo.previous:
        shown["previous_response_id"] = echo.previous
    elif turn.parent:
        shown["previous_response_id"] = ids.response_id(subject.conversation, turn.parent)
    return shown


def is_over(turn: Turn) -> bool:
    """Whether nothing more will come of a turn."""
    return turn.status in TERMINAL_STATUSES


def usage_object(usage: Usage) -> dict[str, Any]:
    """Tokens as the model counted them."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _error(error: TurnError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"code": ERRORS.get(error.code, "server_error"), "message": f"{error.message} ({error.code})"}


def _tools(parameters: Parameters) -> list[dict[str, Any]]:
    """The tools as Responses spells them: flat, every field there."""
    functions = (tool["function"] for tool in parameters.tools)
    return [
        {
            "type": "function",
            "name": each["name"],
            "description": each.get("description"),
            "parameters": each.get("parameters"),
            "strict": each.get("strict"),
        }
        for each in functions
    ]
