"""The events of a response: numbered without a gap, the same at every cut and replay, and what the SDK's types say."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseErrorEvent

from parley.core import ids
from parley.core.blocks import Block, Blocks, blocks
from parley.core.calls import argue, begin
from parley.core.message import Message, Parameters
from parley.core.pieces import Piece, record
from parley.core.turn import Outcome, Private, Request, Turn, TurnError, Usage
from parley.wire.openai.events import Event, Events, error_event, replay
from parley.wire.openai.response import Subject, response_object
from tests.wire.openai.shapes import check_event, check_response, strict

CONVERSATION = ids.conversation_id(bytes(range(16)), 4)
TURN = "0123456789abcdef"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
calls = st.builds(
    lambda name, parts: [Piece(begin(name), "tool"), *(Piece(argue(part), "tool") for part in parts)],
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
    st.lists(texts, max_size=3),
)
plain = st.builds(lambda text, channel: [Piece(text, channel)], texts, st.sampled_from(["text", "reasoning"]))
replies = st.lists(plain | calls, max_size=8).map(lambda runs: [piece for run in runs for piece in run])
endings = st.sampled_from(
    [
        Outcome("completed", usage=Usage(3, 5), finish_reason="stop"),
        Outcome("incomplete", finish_reason="length"),
        Outcome("incomplete", finish_reason="content_filter"),
        Outcome("failed", error=TurnError("upstream_cut", "The model broke off.")),
        Outcome("cancelled"),
    ]
)
echoes = st.fixed_dictionaries({"alone": st.booleans(), "background": st.booleans()})


def subject(reply: list[Piece], ending: Outcome | None, echo: dict[str, Any], parent: str = "") -> Subject:
    """A response that has ended so, or runs."""
    outcome = None
    if ending is not None:
        outcome = Outcome(
            ending.status,
            "".join(piece.text for piece in reply),
            record(reply),
            1,
            1_000_000,
            2_000_000,
            ending.error,
            ending.usage,
            "named-by-upstream",
            ending.finish_reason,
        )
    request = Request((Message("user", "hello"),), "model")
    turn = Turn(TURN, parent, 900_000, request, outcome.status if outcome else "in_progress", outcome)
    return Subject(CONVERSATION, turn, Private("Be brief.", Parameters(temperature=0.5), echo=echo), "default")


def live(reply: list[Piece], ended: Subject, stands: int) -> Iterator[Event]:
    """The events as a stream sees them that begins when so many pieces stand."""
    events = Events(subject(reply[:stands], None, ended.private.echo, ended.turn.parent))
    yield from events.opening()
    yield from events.started()
    for piece in reply:
        yield from events.piece(piece)
    yield from events.ending(ended.turn)


@given(replies, endings, echoes, st.integers(0, 8))
def test_a_live_stream_and_every_replay_are_the_same(
    reply: list[Piece], ending: Outcome, echo: dict[str, Any], stands: int
) -> None:
    ended = subject(reply, ending, echo)
    told = list(replay(ended))
    assert list(live(reply, ended, stands)) == told
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    for after in range(len(told)):
        assert [event for event in replay(ended) if event["sequence_number"] > after] == told[after + 1 :]


@settings(deadline=None, max_examples=50)
@given(replies, endings, echoes)
def test_events_are_what_the_sdk_says(reply: list[Piece], ending: Outcome, echo: dict[str, Any]) -> None:
    ended = subject(reply, ending, echo)
    told = list(replay(ended))
    for event in told:
        check_event(event)
    assert told[0]["type"] == "response.created"
    assert ("response.queued" in [event["type"] for event in told]) == echo["background"]
    assert told[-1]["response"] == response_object(ended, blocks_of(ended))


@given(replies, endings, echoes)
def test_the_deltas_are_the_items(reply: list[Piece], ending: Outcome, echo: dict[str, Any]) -> None:
    """A client that folds deltas comes to what the done events and the final object say."""
    folded: dict[int, str] = {}
    done: dict[int, Any] = {}
    told = list(replay(subject(reply, ending, echo)))
    opened = -1
    for event in told:
        if event["type"] == "response.output_item.added":
            opened += 1
            assert event["output_index"] == opened
            assert event["item"]["status"] == "in_progress"
            folded[opened] = ""
        elif event["type"].endswith(".delta"):
            assert event["output_index"] == opened
            folded[opened] += event["delta"]
        elif event["type"] == "response.output_item.done":
            assert event["output_index"] == opened
            done[opened] = event["item"]
    final = told[-1]["response"]["output"]
    assert [done[index] for index in range(len(final))] == final
    assert [text_of(item) for item in final] == [folded[index] for index in range(len(final))]
    if ending.status == "completed":
        assert all(item["status"] == "completed" for item in final)


@given(replies, st.data())
def test_blocks_do_not_depend_on_how_calls_were_cut(reply: list[Piece], data: st.DataObject) -> None:
    """Pieces of the channel `tool` may be joined and cut anywhere on their way through the log."""
    again: list[Piece] = []
    for piece in reply:
        if piece.channel == "tool":
            at = data.draw(st.integers(0, len(piece.text)))
            parts = [part for part in (piece.text[:at], piece.text[at:]) if part]
            again += [Piece(part, "tool") for part in parts]
        else:
            again.append(piece)
    assert sorted_into(reply) == sorted_into(again)


def test_a_turn_that_never_began_has_no_in_progress() -> None:
    ended = subject([], Outcome("cancelled"), {"background": True})
    assert ended.turn.outcome is not None
    withdrawn = Outcome("cancelled", ended_at=5)
    turn = Turn(TURN, "", 900_000, ended.turn.request, "cancelled", withdrawn)
    told = list(replay(Subject(CONVERSATION, turn, ended.private)))
    assert [event["type"] for event in told] == ["response.created", "response.queued", "response.incomplete"]
    assert told[-1]["response"]["status"] == "cancelled"


def test_an_unfinished_call_is_not_done() -> None:
    reply = [Piece(begin("f"), "tool"), Piece(argue('{"a'), "tool")]
    told = list(replay(subject(reply, Outcome("cancelled"), {})))
    assert "response.function_call_arguments.done" not in [event["type"] for event in told]
    assert told[-1]["response"]["output"][0]["status"] == "incomplete"


def test_an_error_event_has_both_forms() -> None:
    event = error_event(7, "response_rewound", "Fetch it whole.")
    strict(ResponseErrorEvent, event)
    assert event["error"]["message"] == event["message"]


@pytest.mark.parametrize("parent", ["", "fedcba9876543210"])
def test_a_response_says_what_it_goes_on_behind(parent: str) -> None:
    alone = response_object(subject([], Outcome("completed"), {"alone": True}, parent), [])
    check_response(alone)
    assert alone["previous_response_id"] == (ids.response_id(CONVERSATION, parent) if parent else None)
    assert "conversation" not in alone
    joined = response_object(subject([], Outcome("completed"), {}, parent), [])
    assert joined["previous_response_id"] is None
    assert joined["conversation"] == {"id": CONVERSATION}


def blocks_of(found: Subject) -> list[Block]:
    assert found.turn.outcome is not None
    return blocks(found.turn, found.turn.outcome.body, found.turn.outcome.pieces)


def sorted_into(reply: list[Piece]) -> list[tuple[str, str, str]]:
    made = Blocks(1)
    for piece in reply:
        list(made.take(piece))
    return [(block.kind, block.name, block.text) for block in made.all]


def text_of(item: dict[str, Any]) -> str:
    match item["type"]:
        case "message":
            text: str = item["content"][0]["text"]
        case "reasoning":
            text = item["summary"][0]["text"]
        case _:
            text = item["arguments"]
    return text
