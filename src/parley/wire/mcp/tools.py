"""The tools: what they are called with, and what they answer."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from parley.core.blocks import Block
from parley.core.errors import InvalidRequest, ParleyError
from parley.core.turn import Turn
from parley.wire import strict_json
from parley.wire.openai.response import Subject

Object = dict[str, Any]

Number = Annotated[int, Meta(ge=0, le=1_000_000)]
Text = Annotated[str, Meta(max_length=200)]


class ListConversations(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest conversations: their ids, titles and states, the most recent first."""

    limit: Annotated[int, Meta(ge=1, le=200, description="How many at most.")] = 20
    offset: Annotated[int, Meta(ge=0, le=1_000_000, description="How many to leave out.")] = 0


class GetHistory(Struct, frozen=True, forbid_unknown_fields=True):
    """What was said in a conversation, oldest first, with as much of a running answer as there is."""

    conversation: Annotated[str, Meta(max_length=200, description="The id of the conversation, conv_…")]
    limit: Annotated[int, Meta(ge=1, le=200, description="How many turns at most, the newest ones.")] = 20
    before: Annotated[Number | None, Meta(description="Only turns before this number, from 0; else the newest.")] = None


class SendMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """Say something in a conversation and wait for the assistant's answer. Both are kept."""

    message: Annotated[str, Meta(description="What to say.")]
    conversation: Annotated[Text | None, Meta(description="The id of a conversation; else a new one.")] = None
    model: Annotated[Text | None, Meta(description="Which model or assistant answers; else the usual one.")] = None
    key: Annotated[Text | None, Meta(description="A name for the message: under one name it is said only once.")] = None


class Cancel(Struct, frozen=True, forbid_unknown_fields=True):
    """Stop an answer that runs, or withdraw a message that waits."""

    response: Annotated[str, Meta(max_length=200, description="The id of the response, resp_…")]


TOOLS: dict[str, type[Struct]] = {
    "list_conversations": ListConversations,
    "get_history": GetHistory,
    "send_message": SendMessage,
    "cancel": Cancel,
}
READING = {"readOnlyHint": True, "openWorldHint": False}
HINTS: dict[str, Object] = {
    "list_conversations": READING,
    "get_history": READING,
    "send_message": {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": False},
    "cancel": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": False},
}


def listed() -> list[Object]:
    """The tools as `tools/list` shows them."""
    found = []
    for name, kind in TOOLS.items():
        schema = dict(msgspec.json.schema(kind)["$defs"][kind.__name__])
        text = schema.pop("description")
        schema.pop("title")
        found.append({"name": name, "description": text, "inputSchema": schema, "annotations": HINTS[name]})
    return found


def read_arguments(name: str, given: Any) -> Struct:
    """The arguments of a tool.

    Raises:
        InvalidRequest.
    """
    if not isinstance(given, dict):
        raise InvalidRequest("invalid_value", "`arguments` must be an object.", param="arguments")
    return strict_json.convert(given, TOOLS[name])


def told(body: Object, text: str | None = None, *, failed: bool = False) -> Object:
    """What a tool answers: for programs, and as text for models.

    Args:
        text: else the same as JSON.
    """
    shown = msgspec.json.encode(body).decode() if text is None else text
    return {
        "content": [{"type": "text", "text": shown}],
        "structuredContent": msgspec.to_builtins(body),
        "isError": failed,
    }


def refused(error: ParleyError) -> Object:
    """What a tool answers when it cannot: a model may do better the next time."""
    where = f"{error.param}: " if error.param and error.param not in error.message else ""
    return told({"error": error.envelope()["error"]}, f"{where}{error.message} ({error.code})", failed=True)


def answer(subject: Subject, found: list[Block]) -> Object:
    """The answer to a message, of a turn that is over."""
    outcome = subject.turn.outcome
    assert outcome is not None
    text = "".join(block.text for block in found if block.kind == "message")
    body = {**place(subject), "status": outcome.status, "text": text}
    if outcome.status in ("completed", "incomplete"):
        return told(body, text)
    why = outcome.error.message if outcome.error else f"The answer was {outcome.status}."
    code = outcome.error.code if outcome.error else outcome.status
    return told({**body, "error": {"code": code, "message": why}}, f"{why} ({code})", failed=True)


def unheard(subject: Subject, why: str) -> Object:
    """The answer goes on, but cannot be waited for here."""
    text = f"The message was accepted, but its answer could not be waited for: {why} Look with get_history."
    return told({**place(subject), "status": subject.turn.status}, text, failed=True)


def place(subject: Subject) -> Object:
    """Where an answer stands."""
    return {"conversation": subject.conversation, "response": subject.response}


def history(conversation: str, turns: list[tuple[Turn, Object]], first: int, total: int) -> Object:
    """What was said: turns, each with its body of the native protocol."""
    shown = [
        {
            "response": body["response"],
            "status": body["status"],
            "input": [{"role": message.role, "content": message.content} for message in turn.request.input],
            "text": body["text"],
        }
        for turn, body in turns
    ]
    return {"conversation": conversation, "first": first, "total": total, "turns": shown}
