"""UI messages of the AI SDK (`UIMessage`): what its chat transport sends, and a conversation as its `useChat` loads it.

A message of the assistant is a response, or several: each that answers the calls of the one before goes on with it.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from parley.core import ids
from parley.core.blocks import Block, blocks, call_id
from parley.core.errors import InvalidRequest
from parley.core.message import Image, Message
from parley.core.turn import TERMINAL_STATUSES, Private, Turn
from parley.wire.commands import Name
from parley.wire.lines import Line, Output, called_in, continues, line_ids, outputs_of
from parley.wire.openai.requests import Tools
from parley.wire.openai.said import image, read

Id = Annotated[str, Meta(min_length=1, max_length=255)]
# States of a tool's part in which the client tells what the call gave.
TOLD = ("output-available", "output-error")
# Kinds of parts that are shown to people and not to models.
SHOWN = ("step-start", "reasoning", "source-url", "source-document", "custom", "reasoning-file", "steering-message")


class UIMessage(Struct, frozen=True):
    """A message; its parts are read by role."""

    id: Id
    role: Literal["system", "user", "assistant"]
    parts: Annotated[list[Any], Meta(max_length=2_000)]
    metadata: Any = None


class PostChat(Struct, frozen=True, kw_only=True):
    """POST /ai/chat. `message` is the newest message alone, as applications send it that trust their server."""

    id: str
    messages: Annotated[list[UIMessage], Meta(max_length=10_000)] | None = None
    message: UIMessage | None = None
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: str | None = None  # noqa: N815 - as it is spelled on the wire
    model: Name | None = None
    assistant: Name | None = None
    tools: Tools | None = None

    def lines(self) -> list[Line]:
        """The messages as lines.

        Raises:
            InvalidRequest.
        """
        if self.messages is None:
            if self.message is None:
                raise InvalidRequest("missing_parameter", "`messages` is missing.", param="messages")
            return [_line(self.message, "message")]
        if not self.messages:
            raise InvalidRequest("invalid_value", "`messages` is empty.", param="messages")
        return [_line(message, f"messages[{number}]") for number, message in enumerate(self.messages)]


class StopChat(Struct, frozen=True):
    """POST /ai/chat/{id}/stop. `activeStreamId`: stop nothing but this response."""

    activeStreamId: str | None = None  # noqa: N815


class _Part(Struct, frozen=True):
    type: str


class _TextPart(Struct, frozen=True):
    text: str


class _FilePart(Struct, frozen=True):
    url: str


class _ToolPart(Struct, frozen=True):
    toolCallId: str  # noqa: N815
    state: str
    output: Any = None
    errorText: str | None = None  # noqa: N815
    preliminary: bool | None = None


class _Metadata(Struct, frozen=True):
    response: str = ""


def _line(message: UIMessage, param: str) -> Line:
    if message.role == "assistant":
        return _answer_line(message, param)
    texts: list[str] = []
    images: list[Image] = []
    for number, each in enumerate(message.parts):
        place = f"{param}.parts[{number}]"
        kind = read(each, _Part, place).type
        if kind == "text":
            texts.append(read(each, _TextPart, place).text)
        elif kind == "file" and message.role == "user":
            images.append(image(read(each, _FilePart, place).url, f"{place}.url"))
        elif kind not in SHOWN and not kind.startswith("data-"):
            refusal = f"Parts of type {kind[:50]!r} are not supported here: text is, and what a user shows."
            raise InvalidRequest("unsupported_content", refusal, param=f"{place}.type")
    said = Message(message.role, "\n".join(texts), images=tuple(images))
    return Line(message.id, param, message.role, (said,))


def _answer_line(message: UIMessage, param: str) -> Line:
    """A message of the assistant: an answer of ours, or one that the client brings along."""
    texts: list[str] = []
    outputs: list[Output] = []
    calls: list[str] = []
    for number, each in enumerate(message.parts):
        place = f"{param}.parts[{number}]"
        kind = read(each, _Part, place).type
        if kind == "text":
            texts.append(read(each, _TextPart, place).text)
        elif kind == "dynamic-tool" or kind.startswith("tool-"):
            part = read(each, _ToolPart, place)
            calls.append(part.toolCallId)
            if part.state in TOLD and not part.preliminary:
                outputs.append(_output(part))
    return Line(
        message.id,
        param,
        "assistant",
        (Message("assistant", "\n".join(texts)),),
        _responses(message, calls),
        tuple(outputs),
    )


def _responses(message: UIMessage, calls: list[str]) -> tuple[str, ...]:
    """The last response of a message: its metadata tell it; without them, its last call tells the last that called."""
    parsed = ids.parse_response_id(message.id)
    if parsed is None:
        return ()
    conversation = parsed[0]
    try:
        told = msgspec.convert(message.metadata, _Metadata).response
    except msgspec.ValidationError:
        told = ""
    turn = called_in(calls[-1]) if calls else None
    named = [told, ids.response_id(conversation, turn) if turn else "", message.id]
    return tuple(name for name in named if (found := ids.parse_response_id(name)) and found[0] == conversation)


def _output(part: _ToolPart) -> Output:
    """What a call gave, as a model is told."""
    if part.state == "output-error":
        return Output(Message("tool", part.errorText or "The call failed.", call=part.toolCallId), "error")
    if isinstance(part.output, str):
        return Output(Message("tool", part.output, call=part.toolCallId))
    return Output(Message("tool", json.dumps(part.output, ensure_ascii=False), call=part.toolCallId), "json")


def output_fields(output: Output) -> dict[str, Any]:
    """What a call gave, as the client spelled it."""
    text = output.message.content
    if output.form == "error":
        return {"state": "output-error", "errorText": text}
    return {"state": "output-available", "output": raw_json(text) if output.form == "json" else text}


def ui_messages(conversation: str, path: Sequence[tuple[Turn, Private]]) -> list[dict[str, Any]]:
    """The turns that lead to the newest one, as messages. One that is still being written is not among them."""
    listed: list[dict[str, Any]] = []
    answer: dict[str, Any] | None = None  # the last message, while it may be gone on with
    for turn, private in path:
        if not continues(turn):
            answer = None
        for number, (name, message) in enumerate(
            zip(line_ids(conversation, turn, private), turn.request.input, strict=True)
        ):
            if message.role != "tool" and number not in turn.removed and not message.calls:
                role = "system" if message.role == "developer" else message.role
                listed.append({"id": name, "role": role, "parts": [*_shown(message)]})
        for output in outputs_of(turn, private):
            _tell(listed, output)
        if turn.status not in TERMINAL_STATUSES:
            if answer is not None:
                listed.remove(answer)
                answer = None
            continue
        parts = _parts(turn)
        if parts and answer is None:
            response = ids.response_id(conversation, turn.id)
            answer = {"id": response, "role": "assistant", "parts": []}
            listed.append(answer)
        if parts and answer is not None:
            answer["parts"] += parts
            answer["metadata"] = metadata(conversation, turn)
    return listed


def metadata(conversation: str, turn: Turn) -> dict[str, Any]:
    """What a message of the assistant bears besides its parts: which response it ends with, and what that took."""
    told: dict[str, Any] = {"conversation": conversation, "response": ids.response_id(conversation, turn.id)}
    outcome = turn.outcome
    if outcome is not None:
        if outcome.model:
            told["model"] = outcome.model
        if outcome.usage is not None:
            sent, got = outcome.usage.input_tokens, outcome.usage.output_tokens
            told["usage"] = {"inputTokens": sent, "outputTokens": got, "totalTokens": sent + got}
    return told


def call_input(arguments: str) -> msgspec.Raw | None:
    """A call's arguments as JSON; None when they are none."""
    return raw_json(arguments.strip() or "{}")


def raw_json(text: str) -> msgspec.Raw | None:
    """JSON on one line, digit for digit; None when the text is none."""
    try:
        msgspec.json.decode(text)
        return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
    except (msgspec.DecodeError, RecursionError):
        return None


BAD_ARGUMENTS = "The model wrote arguments that are not JSON."


def _parts(turn: Turn) -> list[dict[str, Any]]:
    outcome = turn.outcome
    assert outcome is not None
    found = blocks(turn, outcome.body, outcome.pieces)
    parts = [
        _part(turn, block, broken=block is found[-1] and turn.status != "completed")
        for block in found
        if block.number not in turn.removed
    ]
    return [{"type": "step-start"}, *parts] if parts else []


def _part(turn: Turn, block: Block, *, broken: bool) -> dict[str, Any]:
    if block.kind == "message":
        return _text(block.text)
    if block.kind == "reasoning":
        return {"type": "reasoning", "text": block.text, "state": "done"}
    part: dict[str, Any] = {"type": f"tool-{block.name}", "toolCallId": call_id(turn.id, block.number)}
    given = call_input(block.text)
    if broken:
        return part | {"state": "input-streaming"}
    if given is None:
        return part | {"state": "output-error", "rawInput": block.text, "errorText": BAD_ARGUMENTS}
    return part | {"state": "input-available", "input": given}


def _shown(message: Message) -> Iterator[dict[str, Any]]:
    """What a user shows and says."""
    for each in message.images:
        yield {"type": "file", "mediaType": each.url[len("data:") : each.url.index(";")], "url": each.url}
    if message.content or not message.images:
        yield _text(message.content)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "state": "done"}


def _tell(listed: list[dict[str, Any]], output: Output) -> None:
    """Put what a call gave into the part of the call."""
    for shown in reversed(listed):
        for part in shown["parts"]:
            if part.get("toolCallId") == output.message.call and part["state"] == "input-available":
                part |= output_fields(output)
                return
