"""The view: fold(tail, fold(head)) == fold(all) at every cut, and no broken promise passes."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core import event
from parley.core.message import Message
from parley.core.turn import Request
from parley.core.view import Gap, TurnView, View, Violation
from tests.core.logs import Line, logs

REQUEST = Request((Message("user", "hello"),))
QUEUED = event.Queued("t", "", REQUEST)
STARTED = event.Started("t")
SAID = event.Delta("t", 1, 0, "é!")
ENDED = event.Ended("t", "completed", 3)


def fold(lines: list[Line], view: View | None = None) -> View:
    view = view or View()
    for line in lines:
        view.apply(line.cursor, line.previous, line.event)
    return view


def shown(view: View) -> object:
    """What a view shows; how often it saw text withdrawn is its own history."""
    turns = {}
    for name, turn in view.turns.items():
        turns[name] = TurnView(turn.parent, turn.request, turn.status, turn.gen, turn.body, turn.pieces.strip())
    return view.cursor, view.about if view.about.get("title") else {}, view.deleted, turns


def told(*events: event.Event) -> View:
    """A view that was told of these events."""
    view = View()
    for number, happened in enumerate(events, 1):
        view.apply(f"{number}-1", f"{number - 1}-{min(number - 1, 1)}", happened)
    return view


@given(logs(), st.data())
def test_fold_is_the_same_at_every_cut(lines: list[Line], data: st.DataObject) -> None:
    whole = fold(lines)
    cut = data.draw(st.integers(0, len(lines)))
    head = fold(lines[:cut])
    assert shown(fold(lines[cut:], copy.deepcopy(head))) == shown(whole)


@given(logs().filter(len), st.data())
def test_a_snapshot_stands_for_all_before_it(lines: list[Line], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(lines) - 1))
    view = fold(lines[: data.draw(st.integers(0, cut))])
    view.restore(lines[cut].snapshot)
    assert shown(view) == shown(fold(lines[: cut + 1]))
    assert shown(fold(lines[cut + 1 :], view)) == shown(fold(lines))


@given(logs().filter(lambda lines: len(lines) > 1), st.data())
def test_a_missing_entry_is_a_gap_and_changes_nothing(lines: list[Line], data: st.DataObject) -> None:
    missing = data.draw(st.integers(0, len(lines) - 2))
    view = fold(lines[:missing])
    before = copy.deepcopy(shown(view))
    with pytest.raises(Gap):
        fold(lines[missing + 1 :], view)
    assert shown(view) == before


@given(logs().filter(len))
def test_a_repeated_entry_is_a_gap(lines: list[Line]) -> None:
    with pytest.raises(Gap):
        fold(lines[-1:], fold(lines))


@pytest.mark.parametrize(
    ("before", "happened"),
    [
        ((), STARTED),
        ((QUEUED,), QUEUED),
        ((QUEUED,), SAID),
        ((QUEUED,), event.Ended("other", "completed", 0)),
        ((QUEUED, STARTED), STARTED),
        ((QUEUED, STARTED), event.Delta("t", 2, 0, "x")),
        ((QUEUED, STARTED), event.Delta("t", 1, 1, "x")),
        ((QUEUED, STARTED, SAID), SAID),
        ((QUEUED, STARTED, SAID), event.Rewound("t", 1, 0)),
        ((QUEUED, STARTED, SAID), event.Rewound("t", 3, 0)),
        ((QUEUED, STARTED, SAID), event.Rewound("t", 2, 4)),
        ((QUEUED, STARTED, SAID, event.Rewound("t", 2, 0)), event.Delta("t", 1, 0, "x")),
        ((QUEUED, STARTED, SAID), event.Ended("t", "completed", 2)),
        ((QUEUED, STARTED, SAID), event.Ended("t", "in_progress", 3)),
        ((QUEUED, STARTED, SAID, ENDED), ENDED),
        ((QUEUED, STARTED, SAID, ENDED), event.Delta("t", 1, 3, "x")),
        ((QUEUED, STARTED, SAID, ENDED), event.TakenOver("t", 2)),
        ((QUEUED, STARTED, SAID, ENDED), event.Delayed("t", "busy", 1)),
    ],
    ids=str,
)
def test_a_broken_promise_is_a_violation(before: tuple[event.Event, ...], happened: event.Event) -> None:
    view = told(*before)
    known = copy.deepcopy(shown(view))
    with pytest.raises(Violation):
        view.apply("99-1", view.cursor, happened)
    assert shown(view) == known


def test_a_view_tells_what_it_saw() -> None:
    view = told(QUEUED, STARTED, SAID, event.TakenOver("t", 2), event.Rewound("t", 2, 2), event.Deleted())
    turn = view.turns["t"]
    assert (turn.body, turn.pieces, turn.gen, turn.rewinds) == ("é".encode(), "2", 2, 1)
    assert (view.takeovers, view.deleted) == (1, True)
