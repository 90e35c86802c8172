"""Chunks of the AI SDK's UI message stream, version 1, made of the events of a response.

opening() -> take(event) * n -> ending(turn), or lost() in the place of what is missing
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from parley.core.turn import Turn, TurnError
from parley.wire.lines import calls_of, outputs_of
from parley.wire.openai.events import Event, replay
from parley.wire.openai.response import Subject
from parley.wire.uimessage import BAD_ARGUMENTS, call_input, metadata, output_fields

Chunk = dict[str, Any]

# The header that names the protocol.
HEADER, VERSION = "x-vercel-ai-ui-message-stream", "v1"

REASONS = {"stop": "stop", "length": "length", "content_filter": "content-filter", "tool_calls": "tool-calls"}
RESUME = "resume the stream to see it whole."
LOST = {
    "response_rewound": "The worker was lost and its successor answers otherwise: " + RESUME,
    "server_restarting": "The server restarts: " + RESUME,
    "stream_interrupted": "The stream was interrupted: " + RESUME,
    "too_slow": "You read too slowly: " + RESUME,
    "store_unreachable": "The store is out of reach: " + RESUME,
    "response_deleted": "The chat was deleted.",
    "not_authenticated": "The session is over.",
    "internal_error": "Something went wrong on our side: " + RESUME,
}


class Chunks:
    """Makes the chunks of one response.

    Args:
        earlier: the responses that the message began with.
        whole: tell them too, for a reader who begins anew; else the reader has them.
    """

    def __init__(self, subject: Subject, earlier: Sequence[Subject] = (), *, whole: bool = False) -> None:
        self._subject = subject
        self._earlier = earlier
        self._whole = whole
        self._call: dict[str, Any] = {}  # the call that is being written
        self._calls = False

    def opening(self) -> Iterator[Chunk]:
        """The message begins, or goes on."""
        first = self._earlier[0] if self._earlier else self._subject
        told = metadata(self._subject.conversation, self._subject.turn)
        named = {name: told[name] for name in ("conversation", "response")}
        yield {"type": "start", "messageId": first.response, "messageMetadata": named}
        if self._whole:
            for subject, after in itertools.pairwise((*self._earlier, self._subject)):
                yield from self._again(subject, after)
        yield {"type": "start-step"}

    def take(self, event: Event) -> Iterator[Chunk]:
        """The chunks that an event comes to."""
        match event["type"]:
            case "response.output_text.delta":
                yield {"type": "text-delta", "id": event["item_id"], "delta": event["delta"]}
            case "response.reasoning_summary_text.delta":
                yield {"type": "reasoning-delta", "id": event["item_id"], "delta": event["delta"]}
            case "response.function_call_arguments.delta":
                call = self._call["call_id"]
                yield {"type": "tool-input-delta", "toolCallId": call, "inputTextDelta": event["delta"]}
            case "response.function_call_arguments.done":
                yield self._called(event["arguments"])
            case "response.output_item.added":
                yield self._begun(event["item"])
            case "response.output_item.done" if event["item"]["type"] != "function_call":
                yield {"type": f"{PREFIXES[event['item']['type']]}-end", "id": event["item"]["id"]}

    def ending(self, turn: Turn) -> Iterator[Chunk]:
        """The last chunks."""
        outcome = turn.outcome
        assert outcome is not None
        if turn.status == "cancelled":
            yield {"type": "abort", "reason": "stopped"}
            return
        if turn.status == "failed":
            error = outcome.error or TurnError("server_error", "There is no answer.")
            yield error_chunk(error.code, error.message)
            return
        yield {"type": "finish-step"}
        reason = outcome.finish_reason
        if self._calls and reason in ("", "stop"):
            reason = "tool_calls"
        yield {
            "type": "finish",
            "finishReason": REASONS.get(reason or "stop", "other"),
            "messageMetadata": metadata(self._subject.conversation, turn),
        }

    def lost(self, code: str) -> Iterator[Chunk]:
        """The stream cannot go on."""
        yield error_chunk(code, LOST.get(code, LOST["internal_error"]))

    def _begun(self, item: dict[str, Any]) -> Chunk:
        if item["type"] != "function_call":
            return {"type": f"{PREFIXES[item['type']]}-start", "id": item["id"]}
        self._call, self._calls = item, True
        return {"type": "tool-input-start", "toolCallId": item["call_id"], "toolName": item["name"]}

    def _called(self, arguments: str) -> Chunk:
        call = {"toolCallId": self._call["call_id"], "toolName": self._call["name"]}
        given = call_input(arguments)
        if given is None:
            return {"type": "tool-input-error", **call, "input": arguments, "errorText": BAD_ARGUMENTS}
        return {"type": "tool-input-available", **call, "input": given}

    def _again(self, subject: Subject, after: Subject) -> Iterator[Chunk]:
        """An earlier response, and what its calls gave, as the one after it tells."""
        made = Chunks(subject)
        yield {"type": "start-step"}
        for event in replay(subject):
            yield from made.take(event)
        yield {"type": "finish-step"}
        called = calls_of(subject.turn)
        for output in outputs_of(after.turn, after.private):
            if output.message.call in called:
                fields = output_fields(output)
                kind = f"tool-{fields.pop('state')}"
                yield {"type": kind, "toolCallId": output.message.call, **fields}


PREFIXES = {"message": "text", "reasoning": "reasoning"}


def error_chunk(code: str, message: str) -> Chunk:
    """An error, with its code behind it for programs."""
    return {"type": "error", "errorText": f"{message} ({code})"}
