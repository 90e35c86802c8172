"""Native frames: valid JSON whatever the text, and every event there is."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core import event, ids
from parley.core.about import About
from parley.core.event import Entry
from parley.core.message import Message
from parley.core.pieces import channel_text
from parley.core.snapshot import Snapshot
from parley.core.turn import Request, TurnError, Usage
from parley.wire import frames
from tests.core.logs import Line, logs, texts

CONVERSATION = "conv_00" + "a" * 32

turn = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
size = st.integers(0, 10**6)
messages = st.lists(st.builds(Message, st.just("user"), texts), min_size=1, max_size=3).map(tuple)
events = st.one_of(
    st.builds(event.Queued, turn, turn, st.builds(Request, messages)),
    st.builds(event.Started, turn),
    st.builds(event.TakenOver, turn, size),
    st.builds(event.Delayed, turn, texts, st.floats(0, 1000)),
    st.builds(event.Delta, turn, size, size, texts, st.sampled_from(["text", "reasoning", "tool"])),
    st.builds(event.Rewound, turn, size, size),
    st.builds(
        event.Ended, turn, st.sampled_from(["completed", "failed"]), size,
        st.none() | st.builds(TurnError, texts, texts), st.none() | st.builds(Usage, size, size), texts,
    ),
    st.builds(event.Changed, st.dictionaries(texts, texts)),
    st.builds(event.Shared, texts),
    st.builds(event.Deleted),
)  # fmt: skip


@given(events)
def test_an_event_is_read_as_it_was_written(happened: event.Event) -> None:
    assert frames.decode_event(msgspec.json.encode(happened)) == happened


@given(events, st.integers(1, 10**9), st.integers(1, 10**16))
def test_a_frame_is_the_event_with_its_place(happened: event.Event, number: int, nonce: int) -> None:
    data = msgspec.json.encode(happened)
    cursor = f"{number}-{nonce}"
    frame = frames.entry_frame(CONVERSATION, Entry(cursor, "0-0", data))
    assert json.loads(frame) == {"conversation": CONVERSATION, "cursor": cursor, **json.loads(data)}
    assert b"\n" not in frame


@given(events)
def test_a_bell_carries_the_entry(happened: event.Event) -> None:
    data = msgspec.json.encode(happened)
    assert frames.parse_bell(b"2-20 1-10 " + data) == Entry("2-20", "1-10", data)


@pytest.mark.parametrize(
    "data", [b'{"type":"sung","turn":"x"}', b'{"turn":"x"}', b'{"type":"delta","turn":"x"}', b"[]"]
)
def test_an_event_of_an_unknown_kind_is_told_apart(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        frames.decode_event(data)


def test_fields_of_a_later_version_are_ignored() -> None:
    """Old readers live on while servers are upgraded."""
    assert frames.decode_event(b'{"type":"started","turn":"x","mood":"fine"}') == event.Started("x")


def conversation_of(snapshot: Snapshot) -> Snapshot:
    """The same as a conversation whose ids are real."""
    return msgspec.structs.replace(snapshot, conversation=CONVERSATION)


@given(logs().filter(len))
def test_a_snapshot_frame_shows_what_a_view_shows(lines: list[Line]) -> None:
    snapshot = conversation_of(lines[-1].snapshot)
    frame: dict[str, Any] = json.loads(frames.encode(frames.snapshot_frame(snapshot)))
    assert (frame["type"], frame["cursor"], frame["conversation"]) == ("snapshot", snapshot.cursor, CONVERSATION)
    assert [turn["turn"] for turn in frame["turns"]] == [turn.id for turn in snapshot.turns]
    assert frame["waiting"] == list(snapshot.waiting)
    for shown, stored in zip(frame["turns"], snapshot.turns, strict=True):
        running = snapshot.running if snapshot.running and snapshot.running.turn == stored.id else None
        body = stored.outcome.body if stored.outcome else running.body if running else ""
        assert shown["length"] == len(body.encode())
        pieces = stored.outcome.pieces if stored.outcome else running.pieces if running else ""
        assert shown["text"] == channel_text(body, pieces)
        assert shown.get("reasoning", "") == channel_text(body, pieces, "reasoning")
        assert shown["status"] == stored.status
        assert ids.parse_response_id(shown["response"]) == (CONVERSATION, stored.id)
        assert ("ended_at" in shown) == (stored.outcome is not None)
    assert frame["about"]["status"] == ("in_progress" if snapshot.running else "queued" if snapshot.waiting else "idle")


def test_a_snapshot_frame_keeps_secrets() -> None:
    about = About("title", instructions="the instructions")
    snapshot = Snapshot(CONVERSATION, "0-0", "the owner", 1, 2, about, "", 0, 0, (), None, ())
    frame = frames.encode(frames.snapshot_frame(snapshot))
    assert b"title" in frame
    assert b"the owner" not in frame
    assert b"the instructions" not in frame
