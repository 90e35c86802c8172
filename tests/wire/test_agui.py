"""Events of AG-UI: its order, and the text and calls of the reply."""

import json
from typing import Any

from hypothesis import given

from parley.core.blocks import blocks
from parley.core.pieces import Piece, channel_text
from parley.core.turn import Outcome
from parley.wire.agui import LOST, Run
from parley.wire.frames import encode
from parley.wire.openai.events import replay
from tests.wire.replies import endings, replies, subject

OPENING = {"TEXT_MESSAGE_START": "messageId", "REASONING_START": "messageId", "TOOL_CALL_START": "toolCallId"}
CLOSING = {"TEXT_MESSAGE_END": "messageId", "REASONING_END": "messageId", "TOOL_CALL_END": "toolCallId"}


@given(replies, endings)
def test_a_run_follows_the_order_of_the_protocol(reply: list[Piece], ending: Outcome) -> None:
    told = subject(reply, ending)
    run = Run(told, "thread", "run")
    events: list[dict[str, Any]] = [*run.opening()]
    for event in replay(told):
        events += run.take(event)
    events += run.ending(told.turn)
    events = [json.loads(encode(event)) for event in events]
    assert events[0] == {"type": "RUN_STARTED", "threadId": "thread", "runId": "run", "protocolVersion": "1.0"}
    open_now: set[str] = set()
    texts = {"TEXT_MESSAGE_CONTENT": "", "REASONING_MESSAGE_CONTENT": "", "TOOL_CALL_ARGS": ""}
    for event in events[1:-1]:
        kind = event["type"]
        if kind in OPENING:
            assert not open_now
            open_now.add(event[OPENING[kind]])
        elif kind in CLOSING:
            open_now.remove(event[CLOSING[kind]])
        elif kind in texts:
            assert event["delta"]
            texts[kind] += event["delta"]
            assert {event.get("messageId"), event.get("toolCallId")} & open_now
        else:
            assert kind in ("REASONING_MESSAGE_START", "REASONING_MESSAGE_END")
    assert not open_now
    outcome = told.turn.outcome
    assert outcome is not None
    assert texts["TEXT_MESSAGE_CONTENT"] == channel_text(outcome.body, outcome.pieces)
    assert texts["REASONING_MESSAGE_CONTENT"] == channel_text(outcome.body, outcome.pieces, "reasoning")
    calls = [block for block in blocks(told.turn, outcome.body, outcome.pieces) if block.kind == "function_call"]
    assert texts["TOOL_CALL_ARGS"] == "".join(block.text for block in calls)
    last = events[-1]
    if ending.status == "failed":
        assert (last["type"], last["code"]) == ("RUN_ERROR", "upstream_cut")
    elif ending.status == "cancelled":
        assert (last["type"], last["outcome"]) == ("RUN_FINISHED", {"type": "cancelled"})
    else:
        assert (last["type"], last["outcome"]["type"]) == ("RUN_FINISHED", "success")
        assert last["result"]["response"] == told.response


def test_why_a_run_is_lost_is_told_with_its_code() -> None:
    run = Run(subject([], Outcome("completed")), "thread", "run")
    for code in (*LOST, "another"):
        [event] = run.lost(code)
        assert (event["type"], event["code"]) == ("RUN_ERROR", code)
