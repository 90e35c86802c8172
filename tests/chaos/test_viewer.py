"""A viewer notices whatever a server may do to the order of its frames."""

from typing import Any

import pytest

from parley.chaos.viewer import Refused, Viewer
from tests.chaos.story import frames


def shown(told: list[dict[str, Any]], **options: Any) -> Viewer:
    viewer = Viewer("v", **options)
    for frame in told:
        viewer.take(frame)
    return viewer


def kinds(viewer: Viewer) -> list[str]:
    return [flaw.kind for flaw in viewer.flaws]


def test_a_right_stream_has_no_flaw() -> None:
    viewer = shown(frames())
    assert viewer.flaws == []
    assert viewer.ended("t1")
    assert viewer.frames == len(frames())


def test_a_frame_that_comes_twice_is_repeated() -> None:
    told = frames()
    assert kinds(shown([*told[:4], told[3], *told[4:]])) == ["repeated"]


def test_a_frame_that_never_comes_is_lost() -> None:
    told = frames()
    viewer = shown([*told[:3], *told[4:]])
    assert kinds(viewer) == ["lost"]
    assert not viewer.ended("t1")


def test_a_frame_that_comes_late_is_out_of_order() -> None:
    told = frames()
    viewer = shown([*told[:3], told[4], told[3], *told[5:]])
    assert kinds(viewer) == ["out of order"]
    assert viewer.ended("t1")


def test_what_is_asked_for_again_on_the_next_connection_was_lost_on_the_last() -> None:
    told = frames()
    viewer = shown([*told[:3], told[4]])
    viewer.connected()
    for frame in told[3:]:
        viewer.take(frame)
    assert kinds(viewer) == ["lost"]


@pytest.mark.parametrize(("shift", "kind"), [(-10, "repeated"), (10, "lost")])
def test_text_at_another_place_is_told_by_its_offset(shift: int, kind: str) -> None:
    told = frames()
    told[4] = told[4] | {"offset": told[4]["offset"] + shift}
    assert kinds(shown(told))[0] == kind


def test_an_event_that_contradicts_what_was_shown_is_wrong() -> None:
    told = frames()
    told[1] = {"type": "started", "turn": "another", "cursor": "2-2"}
    assert kinds(shown(told[:2])) == ["wrong"]


def test_a_snapshot_that_changes_what_was_shown_is_wrong() -> None:
    told = frames()
    viewer = shown(told[:4])
    turn = {"turn": "t1", "parent": "", "request": told[0]["request"], "status": "in_progress", "gen": 1}
    viewer.take({"type": "snapshot", "cursor": "9-9", "turns": [turn | {"text": "other", "length": 5}]})
    assert kinds(viewer) == ["wrong"]


def test_where_whole_answers_are_forgotten_a_snapshot_may_hold_another_one() -> None:
    told = frames()
    viewer = shown(told[:4], anew=True)
    turn = {"turn": "t1", "parent": "", "request": told[0]["request"], "status": "in_progress", "gen": 1}
    viewer.take({"type": "snapshot", "cursor": "9-9", "turns": [turn | {"text": "other", "length": 5}]})
    assert (kinds(viewer), viewer.rollbacks, viewer.view.turns["t1"].body) == ([], 1, b"other")


def test_a_store_that_is_away_is_no_flaw() -> None:
    viewer = Viewer("v")
    with pytest.raises(Refused):
        viewer.take({"type": "error", "error": {"code": "store_unreachable"}})
    assert (viewer.flaws, viewer.refusals) == ([], 1)


@pytest.mark.parametrize(("first", "taken_back"), [(0, 1), (1, 0)])
def test_a_snapshot_of_the_newest_turns_takes_back_no_older_ones(first: int, taken_back: int) -> None:
    told = frames()
    viewer = shown(told)
    newer = {"turn": "t2", "parent": "t1", "request": told[0]["request"], "status": "in_progress", "gen": 1}
    viewer.take({"type": "snapshot", "cursor": "9-9", "first": first, "turns": [newer | {"text": "", "length": 0}]})
    assert viewer.rollbacks == taken_back
    assert list(viewer.view.turns) == ["t1", "t2"][1 - first :]
    assert viewer.flaws == []


def taken_over() -> list[dict[str, Any]]:
    """A takeover behind the second piece, and who goes on writes 2.5 s later."""
    told = frames()
    told.insert(4, {"type": "takeover", "turn": "t1", "attempt": 1})
    return [
        frame | {"cursor": f"{number}-{1_000_000 * number + 1_500_000 * (number > 5)}"}
        for number, frame in enumerate(told, 1)
    ]


def test_how_long_a_reply_stood_is_told_by_the_log_and_by_what_was_seen() -> None:
    viewer = shown(taken_over())
    assert viewer.flaws == []
    assert viewer.stops == [3.5]
    assert len(viewer.gaps) == 1
    assert viewer.gaps[0] < 3.5


def test_text_that_a_snapshot_brings_has_been_seen() -> None:
    told = taken_over()
    viewer = shown(told[:5])
    turn = {"turn": "t1", "parent": "", "request": told[0]["request"], "status": "in_progress", "gen": 1}
    text = "".join(frame["text"] for frame in told if frame["type"] == "delta")[:-1]
    viewer.take({"type": "snapshot", "cursor": "9-9", "turns": [turn | {"text": text, "length": len(text)}]})
    assert len(viewer.gaps) == 1
    viewer.take({"type": "delta", "turn": "t1", "gen": 1, "offset": len(text), "text": " ", "cursor": "10-9000000"})
    assert (len(viewer.gaps), viewer.stops, viewer.flaws) == (1, [], [])
