"""AG-UI 1.0: the input of a run, and the events of one, made of the events of a response.

opening() -> take(event) * n -> ending(turn), or lost() in the place of what is missing
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from parley.core import ids
from parley.core.errors import InvalidRequest
from parley.core.message import Call, Image, Message
from parley.core.turn import Turn, TurnError
from parley.wire.commands import Name
from parley.wire.lines import Line, calls_of
from parley.wire.openai.events import Event
from parley.wire.openai.requests import Tools
from parley.wire.openai.response import Subject
from parley.wire.openai.said import content, image, read

VERSION = "1.0"

Id = Annotated[str, Meta(min_length=1, max_length=255)]


class RunAgentInput(Struct, frozen=True, kw_only=True):
    """POST /agui"""

    threadId: str  # noqa: N815 - as it is spelled on the wire
    runId: str  # noqa: N815
    messages: Annotated[list[Any], Meta(max_length=10_000)]
    tools: Tools | None = None
    forwardedProps: Any = None  # noqa: N815
    resume: list[Any] | None = None

    def lines(self) -> list[Line]:
        """The messages as lines.

        Raises:
            InvalidRequest.
        """
        if self.resume:
            message = "A run here is never interrupted, so there is none to resume."
            raise InvalidRequest("unsupported_parameter", message, param="resume")
        if not self.messages:
            raise InvalidRequest("invalid_value", "`messages` is empty.", param="messages")
        return [_line(each, f"messages[{number}]") for number, each in enumerate(self.messages)]

    def choice(self) -> "Choice":
        """The model or the assistant that is asked for.

        Raises:
            InvalidRequest.
        """
        if not isinstance(self.forwardedProps, dict):
            return Choice()
        return read(self.forwardedProps, Choice, "forwardedProps")


class Choice(Struct, frozen=True):
    """What `forwardedProps` may name."""

    model: Name | None = None
    assistant: Name | None = None


class _Message(Struct, frozen=True):
    id: Id
    role: Literal["user", "assistant", "system", "developer", "tool", "reasoning", "activity"]
    content: Any = None
    toolCalls: list["_Call"] | None = None  # noqa: N815
    toolCallId: str | None = None  # noqa: N815
    error: str | None = None


class _Part(Struct, frozen=True):
    type: str


class _TextPart(Struct, frozen=True):
    text: str


class _Source(Struct, frozen=True):
    type: str
    value: str
    mimeType: str | None = None  # noqa: N815


class _ImagePart(Struct, frozen=True):
    source: _Source


class _Function(Struct, frozen=True):
    name: str
    arguments: str = ""


class _Call(Struct, frozen=True):
    id: str
    function: _Function


def _line(value: Any, param: str) -> Line:
    message = read(value, _Message, param)
    if message.role == "reasoning" or message.role == "activity":
        return Line(message.id, param, message.role)  # not for models
    if message.content is None and not (message.role == "assistant" and message.toolCalls):
        raise _missing(f"{param}.content")
    place = f"{param}.content"
    if message.role == "user":
        return Line(message.id, param, "user", (_shown(message.content, place),))
    text = "" if message.content is None else content(message.content, place)
    if message.role == "tool":
        if message.toolCallId is None:
            raise _missing(f"{param}.toolCallId")
        return Line(message.id, param, "tool", (Message("tool", text or message.error or "", call=message.toolCallId),))
    if message.role != "assistant":
        return Line(message.id, param, message.role, (Message(message.role, text),))
    calls = [Call(each.id, each.function.name, each.function.arguments) for each in message.toolCalls or []]
    said = [Message("assistant", text)] if text else []
    said += [Message("assistant", "", (call,)) for call in calls]
    responses = (message.id,) if ids.parse_response_id(message.id) else ()
    return Line(message.id, param, "assistant", tuple(said), responses)


def _shown(given: Any, param: str) -> Message:
    """What a user says and shows."""
    if not isinstance(given, list):
        return Message("user", content(given, param))
    texts: list[str] = []
    images: list[Image] = []
    for number, each in enumerate(given):
        place = f"{param}[{number}]"
        match read(each, _Part, place).type:
            case "text":
                texts.append(read(each, _TextPart, place).text)
            case "image":
                source = read(each, _ImagePart, place).source
                url = f"data:{source.mimeType};base64,{source.value}" if source.type == "data" else source.value
                images.append(image(url, f"{place}.source"))
            case kind:
                refusal = f"Parts of type {kind[:50]!r} are not supported: text and images are."
                raise InvalidRequest("unsupported_content", refusal, param=f"{place}.type")
    return Message("user", "\n".join(texts), images=tuple(images))


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest("missing_parameter", f"`{param}` is missing.", param=param)


AGAIN = "run it again with the same runId to see it whole."
LOST = {
    "response_rewound": "The worker was lost and its successor answers otherwise: " + AGAIN,
    "server_restarting": "The server restarts: " + AGAIN,
    "stream_interrupted": "The stream was interrupted: " + AGAIN,
    "too_slow": "You read too slowly: " + AGAIN,
    "store_unreachable": "The store is out of reach: " + AGAIN,
    "response_deleted": "The thread was deleted.",
    "not_authenticated": "The session is over.",
    "internal_error": "Something went wrong on our side: " + AGAIN,
}


class Run:
    """Makes the events of one run. The message of the assistant bears the id of the response."""

    def __init__(self, subject: Subject, thread: str, run: str) -> None:
        self._subject = subject
        self._run = {"threadId": thread, "runId": run}
        self._message = subject.response
        self._call = ""  # the call that is being written

    def opening(self) -> Iterator[Event]:
        """The run begins."""
        yield {"type": "RUN_STARTED", **self._run, "protocolVersion": VERSION}

    def take(self, event: Event) -> Iterator[Event]:
        """What an event of the response comes to."""
        match event["type"]:
            case "response.output_text.delta":
                yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": self._message, "delta": event["delta"]}
            case "response.reasoning_summary_text.delta":
                yield {"type": "REASONING_MESSAGE_CONTENT", "messageId": event["item_id"], "delta": event["delta"]}
            case "response.function_call_arguments.delta":
                yield {"type": "TOOL_CALL_ARGS", "toolCallId": self._call, "delta": event["delta"]}
            case "response.output_item.added":
                yield from self._begun(event["item"])
            case "response.output_item.done":
                yield from self._done(event["item"])

    def ending(self, turn: Turn) -> Iterator[Event]:
        """The last event."""
        outcome = turn.outcome
        assert outcome is not None
        used: dict[str, Any] = {}
        if outcome.usage is not None:
            sent, got = outcome.usage.input_tokens, outcome.usage.output_tokens
            counted: dict[str, Any] = {"inputTokens": sent, "outputTokens": got, "totalTokens": sent + got}
            used["usage"] = [{"model": outcome.model, **counted} if outcome.model else counted]
        if turn.status == "failed":
            error = outcome.error or TurnError("server_error", "There is no answer.")
            yield {"type": "RUN_ERROR", "message": error.message, "code": error.code, **used}
        elif turn.status == "cancelled":
            yield {"type": "RUN_FINISHED", **self._run, "outcome": {"type": "cancelled"}, **used}
        else:
            calls = calls_of(turn)
            success = {"type": "success", "pendingToolCallIds": calls} if calls else {"type": "success"}
            reason = "tool_calls" if calls and outcome.finish_reason in ("", "stop") else outcome.finish_reason
            result = {
                "conversation": self._subject.conversation,
                "response": self._subject.response,
                "finishReason": reason or "stop",
            }
            yield {"type": "RUN_FINISHED", **self._run, "result": result, "outcome": success, **used}

    def lost(self, code: str) -> Iterator[Event]:
        """The stream cannot go on."""
        yield {"type": "RUN_ERROR", "message": LOST.get(code, LOST["internal_error"]), "code": code}

    def _begun(self, item: dict[str, Any]) -> Iterator[Event]:
        match item["type"]:
            case "message":
                yield {"type": "TEXT_MESSAGE_START", "messageId": self._message, "role": "assistant"}
            case "reasoning":
                yield {"type": "REASONING_START", "messageId": item["id"]}
                yield {"type": "REASONING_MESSAGE_START", "messageId": item["id"], "role": "reasoning"}
            case "function_call":
                self._call = item["call_id"]
                yield {
                    "type": "TOOL_CALL_START",
                    "toolCallId": self._call,
                    "toolCallName": item["name"],
                    "parentMessageId": self._message,
                }

    def _done(self, item: dict[str, Any]) -> Iterator[Event]:
        match item["type"]:
            case "message":
                yield {"type": "TEXT_MESSAGE_END", "messageId": self._message}
            case "reasoning":
                yield {"type": "REASONING_MESSAGE_END", "messageId": item["id"]}
                yield {"type": "REASONING_END", "messageId": item["id"]}
            case "function_call":
                yield {"type": "TOOL_CALL_END", "toolCallId": self._call}
