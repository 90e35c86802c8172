"""Scripts: what is said depends on tag and position alone, so loss and duplication can be counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.testing.script import BadScript, Script, parse_script


def test_a_script_is_read() -> None:
    script = parse_script(" say 40 tag=abc delay=0.01 vary cut=7 times=2\n")
    assert script == Script(40, tag="abc", delay=0.01, vary=True, cut=7, times=2)
    assert parse_script("say 3") == Script(3)


@pytest.mark.parametrize("text", ["", "hello", "say", "say hello", "please say 3", "say -1"])
def test_other_messages_hold_no_script(text: str) -> None:
    assert parse_script(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("say 3 shout", "shout"),
        ("say 3 delay=x", "delay"),
        ("say 3 delay", "delay"),
        ("say 3 cut=1 cut=2", "twice"),
        ("say 3 tag=a:b", "tag"),
        ("say 3 say=4", "twice"),
    ],
)
def test_words_that_mean_nothing_are_told(text: str, problem: str) -> None:
    with pytest.raises(BadScript, match=problem):
        parse_script(text)


def test_each_token_names_its_request_and_position() -> None:
    assert Script(2, tag="abc").text() == "abc:0000 abc:0001 "
    assert Script(1, tag="abc", vary=True).text(run=7) == "abc.r7:0000 "


@given(st.integers(0, 6), st.booleans(), st.integers(1, 12), st.integers(0, 80), st.booleans())
def test_a_continued_answer_joins_exactly_wherever_it_was_cut(
    count: int, vary: bool, run: int, cut: int, trimmed: bool
) -> None:
    script = Script(count, "ab-1", vary=vary)
    whole = script.text(run)
    partial = whole[:cut]
    if trimmed:
        partial = partial.rstrip()
    rest = script.rest(partial, run)
    assert rest is not None
    assert all(rest)
    assert partial + "".join(rest) == whole


def test_a_varied_answer_shows_which_request_went_on_where() -> None:
    script = Script(3, "a", vary=True)
    assert script.rest("a.r1:0000 a.r1:00", 2) == ["01 ", "a.r2:0002 "]
    assert script.rest("a.r1:0000 ", 12) == ["a.r12:0001 ", "a.r12:0002 "]
    assert script.rest("a.r", 2) == ["2:0000 ", "a.r2:0001 ", "a.r2:0002 "]


@pytest.mark.parametrize(
    "partial", ["b:0000 ", "a:0001 ", "a:0000 a:0000 ", "a:0000  ", "hello", "a:0000 a:0001 a:0002 x"]
)
def test_a_partial_answer_of_another_text_is_noticed(partial: str) -> None:
    assert Script(3, "a").rest(partial, 1) is None
