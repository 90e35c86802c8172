"""Chunks of the UI message stream: what is streamed is what is loaded later, and it follows the protocol's grammar."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given

from parley.core.pieces import Piece
from parley.core.turn import Outcome, Private
from parley.wire.frames import encode
from parley.wire.openai.events import replay
from parley.wire.openai.response import Subject
from parley.wire.uichunks import LOST, Chunks
from parley.wire.uimessage import ui_messages
from tests.wire.replies import CONVERSATION, endings, replies, subject

FINISHED = ("completed", "incomplete")


def streamed(told: Subject) -> list[dict[str, Any]]:
    """The chunks of a response, as they are on the wire."""
    made = Chunks(told)
    chunks = [*made.opening()]
    for event in replay(told):
        chunks += made.take(event)
    chunks += made.ending(told.turn)
    lines = [encode(chunk) for chunk in chunks]
    assert all(b"\n" not in line and b"\r" not in line for line in lines)
    return [json.loads(line) for line in lines]


def folded(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The message that the SDK makes of chunks; a part of a kind it does not know is an error."""
    message: dict[str, Any] = {"role": "assistant", "parts": [], "metadata": {}}
    parts: dict[str, dict[str, Any]] = {}
    for chunk in chunks:
        match chunk["type"]:
            case "start":
                message["id"] = chunk["messageId"]
                message["metadata"] |= chunk["messageMetadata"]
            case "start-step":
                message["parts"].append({"type": "step-start"})
            case "text-start" | "reasoning-start":
                assert chunk["id"] not in parts
                kind = chunk["type"].removesuffix("-start")
                parts[chunk["id"]] = {"type": kind, "text": "", "state": "streaming"}
                message["parts"].append(parts[chunk["id"]])
            case "text-delta" | "reasoning-delta":
                assert parts[chunk["id"]]["state"] == "streaming"
                parts[chunk["id"]]["text"] += chunk["delta"]
            case "text-end" | "reasoning-end":
                parts[chunk["id"]]["state"] = "done"
            case "tool-input-start":
                call = chunk["toolCallId"]
                assert call not in parts
                parts[call] = {"type": f"tool-{chunk['toolName']}", "toolCallId": call, "state": "input-streaming"}
                message["parts"].append(parts[call])
            case "tool-input-delta":
                assert parts[chunk["toolCallId"]]["state"] == "input-streaming"
            case "tool-input-available":
                parts[chunk["toolCallId"]] |= {"state": "input-available", "input": chunk["input"]}
            case "tool-input-error":
                told = {"rawInput": chunk["input"], "errorText": chunk["errorText"]}
                parts[chunk["toolCallId"]] |= {"state": "output-error", **told}
            case "finish":
                message["metadata"] |= chunk["messageMetadata"]
            case "finish-step" | "abort" | "error":
                pass
            case other:
                raise AssertionError(other)
    return message


@given(replies, endings)
def test_what_is_streamed_is_what_is_loaded(reply: list[Piece], ending: Outcome) -> None:
    told = subject(reply, ending)
    message = folded(streamed(told))
    listed = json.loads(encode(ui_messages(CONVERSATION, [(told.turn, Private())])))  # type: ignore[arg-type]
    assert listed[0]["parts"] == [{"type": "text", "text": "hello", "state": "done"}]
    if not reply:
        assert listed[1:] == []
        return
    [answer] = listed[1:]
    assert (answer["id"], answer["parts"]) == (message["id"], message["parts"])
    if ending.status in FINISHED:
        assert answer["metadata"] == message["metadata"]


@given(replies, endings)
def test_a_stream_ends_as_its_response_did(reply: list[Piece], ending: Outcome) -> None:
    chunks = streamed(subject(reply, ending))
    kinds = [chunk["type"] for chunk in chunks]
    assert kinds[:2] == ["start", "start-step"]
    assert kinds.count("start") == 1
    last = chunks[-1]
    if ending.status == "cancelled":
        assert last == {"type": "abort", "reason": "stopped"}
    elif ending.status == "failed":
        assert last == {"type": "error", "errorText": "The model broke off. (upstream_cut)"}
    else:
        assert kinds[-2:] == ["finish-step", "finish"]
        called = "tool-input-start" in kinds
        expected = {"length": "length", "content_filter": "content-filter"}.get(ending.finish_reason)
        assert last["finishReason"] == (expected or ("tool-calls" if called else "stop"))


def test_why_a_stream_is_lost_is_told_with_its_code() -> None:
    made = Chunks(subject([], Outcome("completed")))
    for code in (*LOST, "another"):
        [chunk] = made.lost(code)
        assert chunk["type"] == "error"
        assert chunk["errorText"].endswith(f"({code})")
