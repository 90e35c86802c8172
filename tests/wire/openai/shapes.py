"""The official SDK's own types, as the referee of what we send: read strictly, nothing coerced."""

import functools
import types
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pydantic
from openai.types.responses import Response, ResponseStreamEvent

NULLABLE_NEVER = (
    *("id", "object", "created_at", "status", "background", "model", "output", "parallel_tool_calls", "reasoning"),
    *("store", "temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "text", "tool_choice"),
    *("tools", "truncation", "metadata", "service_tier"),
)
PRESENT = (
    *NULLABLE_NEVER,
    *("completed_at", "error", "incomplete_details", "instructions", "max_output_tokens", "max_tool_calls"),
    *("previous_response_id", "usage", "safety_identifier", "prompt_cache_key"),
)


def _members(union: Any) -> dict[str, Any]:
    """The types of a union by their `type`."""
    found: dict[str, Any] = {}
    for member in get_args(union):
        if get_origin(member) in (Union, types.UnionType):
            found |= _members(member)
        elif isinstance(member, type) and issubclass(member, pydantic.BaseModel):
            kind = member.model_fields["type"].annotation
            assert get_origin(kind) is Literal
            found |= dict.fromkeys(get_args(kind), member)
        else:
            found |= _members(member)
    return found


@functools.cache
def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)


EVENTS = _members(ResponseStreamEvent)


def strict(kind: Any, value: Any) -> Any:
    """Read a value as a type of the SDK, from its JSON."""
    return _adapter(kind).validate_json(msgspec.json.encode(value), strict=True)


def check_response(value: dict[str, Any]) -> Response:
    """A response object, as clients need it."""
    for name in PRESENT:
        assert name in value, name
    for name in NULLABLE_NEVER:
        assert value[name] is not None, name
    found: Response = strict(Response, value)
    return found


def check_event(value: dict[str, Any]) -> None:
    """An event of a response's stream."""
    strict(EVENTS[value["type"]], value)
    if "response" in value:
        check_response(value["response"])
