"""Piece boundaries: cutting a body by their record gives back the very pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.pieces import CHANNELS, Piece, channel_text, cut, record, spans
from tests.core.logs import pieces


@given(st.lists(pieces))
def test_cut_gives_back_what_was_recorded(said: list[Piece]) -> None:
    body = "".join(piece.text for piece in said)
    assert list(cut(body, record(said))) == said


@given(st.lists(pieces))
def test_each_channel_is_told_apart(said: list[Piece]) -> None:
    body, boundaries = "".join(piece.text for piece in said), record(said)
    for channel in CHANNELS.values():
        whole = "".join(piece.text for piece in said if piece.channel == channel)
        assert channel_text(body, boundaries, channel) == whole


@given(st.lists(pieces))
def test_spans_are_what_lies_between_two_changes_of_channel(said: list[Piece]) -> None:
    body, boundaries = "".join(piece.text for piece in said), record(said)
    found = list(spans(body, boundaries))
    assert "".join(span.text for span in found) == body
    assert all(one.channel != other.channel for one, other in pairwise(found))
    letters = [piece.channel for piece in said for _ in piece.text]
    assert [span.channel for span in found for _ in span.text] == letters


@pytest.mark.parametrize("boundaries", ["", "2", "4", "3 1", "x3", "r", "1 2 -", "-1 4", "٣", "rr3"])
def test_a_record_of_another_body_is_refused(boundaries: str) -> None:
    with pytest.raises(ValueError):
        list(cut("abc", boundaries))


def test_a_record_that_cuts_a_character_is_refused() -> None:
    with pytest.raises(ValueError):
        list(cut("é", "1 1"))
