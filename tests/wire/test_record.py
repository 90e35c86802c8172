"""Turn records: what is written is read, byte for byte, whatever the text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.message import Message, Parameters
from parley.core.pieces import Piece
from parley.core.pieces import record as boundaries
from parley.core.turn import TERMINAL_STATUSES, Outcome, Private, Request, Turn, TurnError, Usage
from parley.wire import record
from tests.core.logs import pieces, texts

turn_ids = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
messages = st.builds(Message, st.sampled_from(["user", "assistant", "system", "developer"]), texts)
requests = st.builds(Request, st.lists(messages, min_size=1, max_size=3).map(tuple), texts, texts)
privates = st.builds(
    Private, texts, st.builds(Parameters, temperature=st.none() | st.floats(0, 2), stop=st.lists(texts).map(tuple))
)
errors = st.none() | st.builds(TurnError, texts, texts)
usages = st.none() | st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9))
statuses = st.sampled_from(sorted(TERMINAL_STATUSES))


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    said: list[Piece] = draw(st.lists(pieces, max_size=4))
    return Outcome(
        status=draw(statuses),
        body="".join(piece.text for piece in said),
        pieces=boundaries(said),
        generation=draw(st.integers(0, 9)),
        started_at=draw(st.integers(0, 2**45)),
        ended_at=draw(st.integers(0, 2**45)),
        error=draw(errors),
        usage=draw(usages),
        model=draw(texts),
        finish_reason=draw(texts),
        attempts=draw(st.integers(0, 20)),
    )


@given(turn_ids, st.just("") | turn_ids, st.integers(1, 2**45), requests, privates, st.none() | outcomes())
def test_a_turn_is_read_as_it_was_written(
    turn: str, parent: str, created: int, request: Request, private: Private, outcome: Outcome | None
) -> None:
    written = Turn(turn, parent, created, request, outcome.status if outcome else "queued", outcome)
    stored = record.encode_record(written, private)
    ended = record.encode_outcome(outcome) if outcome else b""
    assert record.decode_turn(turn.encode(), stored, ended) == written
    assert record.decode_private(stored) == private
    assert stored.count(b"\n") == 2


@given(turn_ids, requests)
def test_the_running_turn_is_in_progress(turn: str, request: Request) -> None:
    stored = record.encode_record(Turn(turn, "", 1, request), Private())
    assert record.decode_turn(turn.encode(), stored, b"", turn.encode()).status == "in_progress"
    assert record.decode_turn(turn.encode(), stored, b"", b"f" * 15).status == "queued"


@given(outcomes())
def test_status_leads_the_outcome(outcome: Outcome) -> None:
    """The scripts look for it there, so that no text of a reply can pass for a status."""
    assert record.encode_outcome(outcome).startswith(b'\n{"status":"%s"' % outcome.status.encode())


@given(errors, usages, texts, texts)
def test_extra_fields_join_an_outcome_and_an_event(
    error: TurnError | None, usage: Usage | None, model: str, finish_reason: str
) -> None:
    extra = record.encode_extra(error=error, usage=usage, model=model, finish_reason=finish_reason)
    assert b"\n" not in extra
    whole = b'\n{"status":"completed","ended_at":7%s}' % extra
    stored = record.encode_record(Turn("0" * 16, "", 1, Request((Message("user", "x"),))), Private())
    found = record.decode_turn(b"0" * 16, stored, whole).outcome
    assert found == Outcome("completed", ended_at=7, error=error, usage=usage, model=model, finish_reason=finish_reason)
    assert json.loads(whole)["status"] == "completed"


def test_no_extra_is_nothing() -> None:
    assert record.encode_extra() == b""


@given(requests, privates, st.just("") | turn_ids, requests, privates, st.just("") | turn_ids)
def test_equal_bodies_and_no_others_have_equal_hashes(
    request: Request, private: Private, parent: str, request2: Request, private2: Private, parent2: str
) -> None:
    same = (request, private, parent) == (request2, private2, parent2)
    assert (record.body_hash(request, private, parent) == record.body_hash(request2, private2, parent2)) == same
    assert record.body_hash(request, private, parent) == record.body_hash(request, private, parent)
    assert " " not in record.body_hash(request, private, parent)


@pytest.mark.parametrize("text", ["\n", " ", '"', "\\n", "\x00", "\x7f", "\u2028", "\ufeff", "😀", "- x 1\n{}"])
def test_odd_characters_do_not_break_a_record(text: str) -> None:
    request, private = Request((Message("user", text),), model=text), Private(text)
    turn = Turn("0" * 16, "", 1, request)
    stored = record.encode_record(turn, private)
    assert record.decode_turn(b"0" * 16, stored, b"") == turn
    assert record.decode_private(stored) == private
