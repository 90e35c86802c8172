"""The checker: an intact reply passes in any pieces; a lost, a repeated and a changed character never do."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.bench.checker import Reply, Wrong
from parley.bench.speech import Ask, asked

ASK = Ask(tokens=20, delay=0.5, tag="c7")


def fed(text: str, cuts: list[int], ask: Ask = ASK) -> Reply:
    """A reply that was given a text cut there."""
    reply = Reply(ask, 0.0)
    edges = [0, *sorted(cuts), len(text)]
    for now, (begin, end) in enumerate(pairwise(edges), 1):
        reply.take(text[begin:end], float(now))
    reply.finish()
    return reply


CUTS = st.lists(st.integers(0, len(ASK.text)))
PLACES = st.integers(0, len(ASK.text) - 1)


@given(CUTS)
def test_an_intact_reply_passes_however_it_is_cut(cuts: list[int]) -> None:
    assert fed(ASK.text, cuts).tokens == ASK.tokens


@given(CUTS, PLACES)
def test_a_lost_character_is_caught(cuts: list[int], at: int) -> None:
    with pytest.raises(Wrong):
        fed(ASK.text[:at] + ASK.text[at + 1 :], cuts)


@given(CUTS, PLACES)
def test_a_repeated_character_is_caught(cuts: list[int], at: int) -> None:
    with pytest.raises(Wrong):
        fed(ASK.text[: at + 1] + ASK.text[at:], cuts)


@given(CUTS, PLACES, st.characters())
def test_a_changed_character_is_caught(cuts: list[int], at: int, other: str) -> None:
    changed = ASK.text[:at] + other + ASK.text[at + 1 :]
    if changed != ASK.text:
        with pytest.raises(Wrong):
            fed(changed, cuts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ASK.text[:45] + ASK.text[54:], "lost at character"),
        (ASK.text[:45] + ASK.text[36:], "repeated at character 52"),
        (ASK.text[:45] + "!" + ASK.text[46:], "changed at character 45: '!"),
        (ASK.text + "more", "behind the end at character 180"),
        (ASK.text[:-1], "lost: it ended after 179 of 180"),
        ("", "lost: it ended after 0 of 180"),
    ],
)
def test_what_went_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(Wrong, match=said):
        fed(text, list(range(9, len(text), 9)))


def test_a_token_arrives_when_its_last_character_does() -> None:
    reply = fed(ASK.text, [9, 20, 27])
    assert list(reply.arrivals[:4]) == [1.0, 2.0, 3.0, 4.0]
    assert reply.deltas == 4
    assert reply.first_at == reply.arrivals[0]


def test_lags_count_from_the_schedule() -> None:
    reply = Reply(Ask(3, 0.5, "a"), 9.0)
    reply.take("a:00000 ", 10.25)
    reply.take("a:00001 a:00002 ", 11.5)
    assert reply.lags(10.0) == [0.25, 1.0, 0.5]


def test_a_reply_nobody_knows_is_compared_with_what_was_kept() -> None:
    def known(stored: str) -> None:
        reply = Reply(None, 0.0)
        for piece in ("Hel", "", "lo"):
            reply.take(piece, 1.0)
        reply.finish(stored)

    known("Hello")
    for stored in ("Hell", "Hellou", "Hallo"):
        with pytest.raises(Wrong):
            known(stored)


@given(st.integers(0, 99999), st.floats(0, 60), st.text("abcXYZ019_", min_size=1, max_size=40))
def test_what_is_asked_for_is_understood(tokens: int, delay: float, tag: str) -> None:
    ask = Ask(tokens, round(delay, 6), tag)
    assert asked(f"something before, {ask.message} and behind") == ask


def test_other_messages_ask_for_nothing() -> None:
    assert asked("tell me about the bench tokens=three") is None
