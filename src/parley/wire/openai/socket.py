"""Responses over a WebSocket: the one message that clients send, and the two answers that only sockets have."""

from typing import Any

from msgspec import Struct

from parley.core.errors import InvalidRequest, NotFound, ParleyError
from parley.core.turn import Outcome, Private, Request, Turn, Usage
from parley.wire import strict_json
from parley.wire.openai.events import Event
from parley.wire.openai.requests import CreateResponse
from parley.wire.openai.response import Subject
from parley.wire.openai.said import Spoken

CREATE = "response.create"


class CreateOnSocket(CreateResponse, frozen=True, kw_only=True):
    """`response.create`: a create, and `generate`: false only makes what is said known, for a later one to go on."""

    generate: bool | None = None


class Warm(Struct, frozen=True):
    """What a warm-up made known, and what it goes on behind: a conversation, a response, or nothing."""

    spoken: tuple[Spoken, ...]
    conversation: str | None = None
    previous_response_id: str | None = None


def read_message(text: str) -> dict[str, Any]:
    """A message that asks for a response; its fields are still to be checked.

    Raises:
        InvalidRequest.
    """
    value = strict_json.parse(text)
    if not isinstance(value, dict):
        raise InvalidRequest("invalid_value", "A message is a JSON object.")
    if "type" not in value:
        raise InvalidRequest("missing_parameter", "`type` is missing.", param="type")
    if value["type"] != CREATE:
        raise InvalidRequest("invalid_value", f"`type` must be {CREATE}.", param="type")
    return value


def error_message(error: ParleyError) -> Event:
    """An error as sockets are told it; the connection goes on."""
    status = error.status
    if status == 410:
        # Here what was deleted is as if it had never been.
        error = NotFound(error.code, error.message, param=error.param)
        status = error.status
    return {"type": "error", "status": status, **error.envelope()}


def warm_subject(conversation: str, turn: str, asked: Request, private: Private, *, now: int, default: str) -> Subject:
    """A warm-up as a response: over as soon as it is asked for, with nothing said.

    Args:
        now: unix milliseconds.
    """
    outcome = Outcome("completed", ended_at=now, usage=Usage())
    return Subject(conversation, Turn(turn, "", now, asked, "completed", outcome), private, default)
