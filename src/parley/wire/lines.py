"""Lines: the messages of a client that keeps its own copy of a conversation and sends all of it each time.

The log is the truth: what a line names of it is only looked up, never taken over. The client's own ids of what it
said are kept in the turn's `echo`, so that a line that comes back is known.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from parley.core import ids
from parley.core.blocks import blocks, call_id
from parley.core.message import Message
from parley.core.turn import NOTED, Private, Turn
from parley.wire.openai.items import input_item
from parley.wire.openai.requests import tools_asked
from parley.wire.openai.said import read

CALL = re.compile(r"call_([0-9a-f]{16})[0-9a-f]{4}")


# How a client spelled what a call gave: as text, as JSON, or as an error.
Form = Literal["text", "json", "error"]


class Output(Struct, frozen=True):
    """What a call gave, as a model is told, and how the client spelled it."""

    message: Message
    form: Form = "text"


class Line(Struct, frozen=True):
    """A message of the client's copy.

    Args:
        param: the field it came in.
        said: what it says, should it be new.
        responses: ids of the responses it may be (the end of), the likeliest first; none: it is no answer of ours.
        outputs: what it tells besides of calls that the answer made.
    """

    id: str
    param: str
    role: str
    said: tuple[Message, ...] = ()
    responses: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()


class Marks(Struct, frozen=True):
    """What the echo of a turn said by lines holds, for each message of its input: the id at the client, the form."""

    ids: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()


def echo_of(marks: Marks) -> dict[str, Any]:
    """The echo of a turn that is said by lines."""
    told: dict[str, Any] = {"ids": marks.ids}
    return told | {"forms": marks.forms} if any(form != "text" for form in marks.forms) else told


def line_ids(conversation: str, turn: Turn, private: Private) -> list[str]:
    """The id of each message of a turn's input: the client's own, else ours."""
    kept = msgspec.convert(private.echo, Marks).ids
    response = ids.response_id(conversation, turn.id)
    ours = [input_item(message, response, number)["id"] for number, message in enumerate(turn.request.input)]
    return [given or own for given, own in zip(kept, ours, strict=True)] if len(kept) == len(ours) else ours


def outputs_of(turn: Turn, private: Private) -> list[Output]:
    """What calls gave, as a turn tells it."""
    said, forms = turn.request.input, msgspec.convert(private.echo, Marks).forms
    spelled: Iterable[Form] = forms if len(forms) == len(said) else ("text" for _ in said)
    return [Output(message, form) for message, form in zip(said, spelled, strict=True) if message.role == "tool"]


def called_in(call: str) -> str | None:
    """The turn that made a call; None when it is no call of ours."""
    match = CALL.fullmatch(call)
    return None if match is None else match[1]


def calls_of(turn: Turn) -> list[str]:
    """The ids of the whole calls that a turn that has ended made."""
    if turn.outcome is None:
        return []
    found = blocks(turn, turn.outcome.body, turn.outcome.pieces)
    if found and turn.status != "completed":
        found.pop()  # it may have broken off
    return [call_id(turn.id, block.number) for block in found if block.kind == "function_call"]


def continues(turn: Turn) -> bool:
    """Whether a turn only tells what calls gave, so that its answer goes on with the message that made them."""
    return bool(turn.request.input) and all(message.role == "tool" for message in turn.request.input)


def counts(turn: Turn) -> bool:
    """Whether models are shown what a turn said, once it has ended: not when it failed, or came to nothing."""
    outcome = turn.outcome
    if outcome is None or outcome.finish_reason == NOTED:
        return True
    return turn.status != "failed" and bool(outcome.body)


def function_tools(given: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """The functions a client offers, each as `name`, `description` and `parameters`.

    Raises:
        InvalidRequest.
    """
    for number, each in enumerate(given):
        read(each, dict[str, Any], f"tools[{number}]")
    return tools_asked([{**each, "type": "function"} for each in given], None, flat=True)[0]
