"""Chat completions: the object, and the chunks of a stream, made of the events of a response."""

from collections.abc import Iterator
from typing import Any

from parley.core.blocks import Block, call_id
from parley.core.turn import Turn, Usage
from parley.wire.openai.events import Event
from parley.wire.openai.response import Subject

REASONS = frozenset({"stop", "length", "content_filter", "tool_calls"})


def completion_id(response: str) -> str:
    """Name the completion that a response is."""
    return "chatcmpl-" + response.removeprefix("resp_")


def completion(subject: Subject, found: list[Block]) -> dict[str, Any]:
    """The answer of a turn that ended well, as one object."""
    turn = subject.turn
    assert turn.outcome is not None
    text = "".join(block.text for block in found if block.kind == "message")
    reasoning = "".join(block.text for block in found if block.kind == "reasoning")
    calls = [_call(turn, block) for block in found if block.kind == "function_call"]
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(turn, bool(calls)), "logprobs": None}
    return {
        **_head(subject, "chat.completion"),
        "choices": [choice],
        "usage": usage_object(turn.outcome.usage or Usage()),
        **_state(subject),
    }


def finish_reason(turn: Turn, calls: bool) -> str:
    """Why the model stopped."""
    assert turn.outcome is not None
    reason = turn.outcome.finish_reason
    if calls and reason in ("", "stop"):
        return "tool_calls"
    return reason if reason in REASONS else "stop"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Tokens as the model counted them."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class Chunks:
    """Makes the chunks of a stream.

    Args:
        usage: whether the client asked for the tokens.
    """

    def __init__(self, subject: Subject, *, usage: bool) -> None:
        self._head = {**_head(subject, "chat.completion.chunk"), **_state(subject)}
        self._usage = usage
        self._calls = 0

    def opening(self) -> dict[str, Any]:
        """The first chunk: who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def take(self, event: Event) -> Iterator[dict[str, Any]]:
        """The chunks that an event of the response comes to."""
        match event["type"]:
            case "response.output_text.delta":
                yield self._chunk({"content": event["delta"]})
            case "response.reasoning_summary_text.delta":
                yield self._chunk({"reasoning_content": event["delta"]})
            case "response.output_item.added" if event["item"]["type"] == "function_call":
                item = event["item"]
                function = {"name": item["name"], "arguments": ""}
                call = {"index": self._calls, "id": item["call_id"], "type": "function", "function": function}
                self._calls += 1
                yield self._chunk({"tool_calls": [call]})
            case "response.function_call_arguments.delta":
                part = {"index": self._calls - 1, "function": {"arguments": event["delta"]}}
                yield self._chunk({"tool_calls": [part]})

    def ending(self, turn: Turn) -> Iterator[dict[str, Any]]:
        """The last chunks of a turn that ended well."""
        assert turn.outcome is not None
        yield self._chunk({}, finish_reason(turn, self._calls > 0))
        if self._usage:
            yield {**self._head, "choices": [], "usage": usage_object(turn.outcome.usage or Usage())}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        chunk = {**self._head, "choices": [choice]}
        if self._usage:
            chunk["usage"] = None
        return chunk


def _head(subject: Subject, kind: str) -> dict[str, Any]:
    turn = subject.turn
    return {
        "id": completion_id(subject.response),
        "object": kind,
        "created": turn.created_at // 1000,
        "model": turn.request.assistant or turn.request.model or subject.default,
        "system_fingerprint": None,
    }


def _state(subject: Subject) -> dict[str, Any]:
    """Ours: where a completion that has state goes on."""
    if not subject.echo.store:
        return {}
    return {"conversation": subject.conversation, "response_id": subject.response}


def _call(turn: Turn, block: Block) -> dict[str, Any]:
    function = {"name": block.name, "arguments": block.text}
    return {"id": call_id(turn.id, block.number), "type": "function", "function": function}
