"""Each way in which a text can be wrong has its name."""

import pytest

from parley.chaos.flaw import flaws_of


def said(*positions: int, run: str = "", tag: str = "c1t1") -> str:
    return "".join(f"{tag}{run}:{at:04d} " for at in positions)


@pytest.mark.parametrize("text", [said(0, 1, 2, 3), said(0, 1, 2, 3, run=".r2")])
def test_a_whole_answer_has_no_flaw(text: str) -> None:
    assert flaws_of(text, "c1t1", 4) == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (said(0, 1, 3), ["lost"]),
        (said(0, 1, 2), ["lost"]),
        ("", ["lost"]),
        (said(0, 1, 1, 2, 3), ["repeated"]),
        (said(0, 1, 2, 1, 2, 3), ["repeated"]),
        (said(0, 2, 1, 3), ["out of order"]),
        (said(3, 2, 2, 0), ["lost", "repeated", "out of order"]),
        (said(0, 1, 2, 3, 4), ["wrong"]),
        (said(0, 1, 2, 3) + "and more", ["wrong"]),
        (said(0, 1, run=".r1") + said(2, 3, run=".r2"), ["wrong"]),
        (said(0, 1, 2, 3, tag="c2t1"), ["lost", "wrong"]),
        (said(0, 1, 2, 3)[:-3], ["lost", "wrong"]),
    ],
)
def test_each_flaw_is_named(text: str, kinds: list[str]) -> None:
    assert [flaw.kind for flaw in flaws_of(text, "c1t1", 4)] == kinds
