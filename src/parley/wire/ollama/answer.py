"""Answers of /api/chat and /api/generate: the objects of a stream, made of the events of a response, or one object."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from parley.core.errors import ParleyError
from parley.core.turn import Turn, Usage
from parley.wire.openai.events import Event

Kind = Literal["chat", "generate"]
Object = dict[str, Any]


class BadArguments(ParleyError):
    """The model called a tool with what Ollama's form cannot tell."""

    status = 502


class Times(Struct):
    """When what happened, in nanoseconds of one clock; 0: not yet."""

    asked: int
    began: int = 0
    spoke: int = 0
    ended: int = 0

    def durations(self) -> dict[str, int]:
        """How long the answer took, and its parts: waiting for a worker, for the first word, and for the rest."""
        began = self.began or self.ended
        spoke = self.spoke or self.ended
        return {
            "total_duration": self.ended - self.asked,
            "load_duration": began - self.asked,
            "prompt_eval_duration": spoke - began,
            "eval_duration": self.ended - spoke,
        }


class Answer:
    """Makes the objects of one answer.

    Args:
        model: what it is called in them.
        thoughts: whether what the model thinks is told.
    """

    def __init__(self, kind: Kind, model: str, *, thoughts: bool) -> None:
        self._kind = kind
        self._model = model
        self._thoughts = thoughts
        self.text = ""  # what was said so far

    def take(self, event: Event, now: str) -> Iterator[Object]:
        """The objects that an event of the response comes to.

        Args:
            now: the time, as RFC 3339 has it.

        Raises:
            BadArguments.
        """
        match event["type"]:
            case "response.output_text.delta":
                self.text += event["delta"]
                yield self.part(now, event["delta"])
            case "response.reasoning_summary_text.delta" if self._thoughts:
                yield self.part(now, thinking=event["delta"])
            case "response.output_item.done" if _is_call(event["item"]):
                yield self.part(now, call=_call(event["item"]))

    def part(self, now: str, text: str = "", *, thinking: str = "", call: Object | None = None) -> Object:
        """An object that is not the last; an empty one only breaks the silence."""
        return {**self._said(now, text, thinking, [call] if call else []), "done": False}

    def last(self, turn: Turn, times: Times, now: str) -> Object:
        """The last object, of a turn that ended well."""
        assert turn.outcome is not None
        usage = turn.outcome.usage or Usage()
        reason = turn.outcome.finish_reason
        return {
            **self._said(now, "", "", []),
            "done": True,
            "done_reason": "stop" if reason in ("", "tool_calls") else reason,
            **times.durations(),
            "prompt_eval_count": usage.input_tokens,
            "eval_count": usage.output_tokens,
        }

    def idle(self, reason: str, now: str) -> Object:
        """The answer to a request that says nothing: the model is loaded, or not needed any more."""
        return {**self._said(now, "", "", []), "done": True, "done_reason": reason}

    def whole(self, parts: Iterable[Object], last: Object) -> Object:
        """One object of all."""
        text, thinking, calls = "", "", []
        for part in parts:
            said = part["message"] if self._kind == "chat" else part
            text += said["content"] if self._kind == "chat" else said["response"]
            thinking += said.get("thinking", "")
            calls += said.get("tool_calls", [])
        return {**last, **self._said(last["created_at"], text, thinking, calls)}

    def _said(self, now: str, text: str, thinking: str, calls: list[Object]) -> Object:
        more: Object = {"thinking": thinking} if thinking else {}
        if calls:
            more["tool_calls"] = calls
        head = {"model": self._model, "created_at": now}
        if self._kind == "chat":
            return {**head, "message": {"role": "assistant", "content": text, **more}}
        return {**head, "response": text, **more}


def _is_call(item: Object) -> bool:
    return bool(item["type"] == "function_call" and item["status"] == "completed")


def _call(item: Object) -> Object:
    try:
        arguments = msgspec.json.decode(item["arguments"] or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        message = f"The model called {item['name']} with arguments that are not an object."
        raise BadArguments("invalid_arguments", message) from None
    return {"id": item["call_id"], "function": {"name": item["name"], "arguments": arguments}}
