"""The seam between a partial answer and its continuation."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.models.seam import Seam


def joined(partial: str, *texts: str, echoed: bool = False) -> str:
    seam = Seam(partial, echoed=echoed)
    return partial + "".join(seam.join(text) for text in texts) + seam.close()


@pytest.mark.parametrize(
    ("partial", "texts", "whole"),
    [
        ("", ["Hello"], "Hello"),
        ("The capital of", [" It", "aly"], "The capital of Italy"),
        ("The capital of ", [" It", "aly"], "The capital of Italy"),
        ("The capital of ", ["Italy"], "The capital of Italy"),
        ("One\n\n", ["\n", "\nTwo"], "One\n\nTwo"),
        ("One\n\n", ["\n", "Two"], "One\n\nTwo"),
        ("One\n", [" Two"], "One\n Two"),
        (" \n", ["Hi"], " \nHi"),
    ],
)
def test_white_space_at_the_seam_is_said_once(partial: str, texts: list[str], whole: str) -> None:
    assert joined(partial, *texts) == whole


def test_the_model_is_not_given_white_space_at_the_end() -> None:
    assert Seam("The capital of \n").sent == "The capital of"


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["Rome is ", "old."], "Rome is old."),
        (["Ro", "me", " is ol", "d."], "Rome is old."),
        (["old."], "Rome is old."),
        (["Ro"], "Rome is Ro"),
        (["Roman."], "Rome is Roman."),
    ],
)
def test_an_echo_is_dropped_and_what_only_resembles_one_is_not(texts: list[str], whole: str) -> None:
    assert joined("Rome is ", *texts, echoed=True) == whole


@given(st.text(" ab\n", max_size=10), st.text(" ab\n", max_size=10), st.lists(st.integers(0, 20)), st.booleans())
def test_a_faithful_continuation_joins_exactly(said: str, rest: str, cuts: list[int], echoed: bool) -> None:
    """A model that goes on from what it was given, or says that again first, gives the whole answer."""
    whole = said + "|" + rest
    seam = Seam(said, echoed=echoed)
    follows = whole if echoed else whole[len(seam.sent) :]
    edges = sorted({0, len(follows), *(cut for cut in cuts if cut < len(follows))})
    texts = [follows[a:b] for a, b in pairwise(edges)]
    assert said + "".join(seam.join(text) for text in texts) + seam.close() == whole
