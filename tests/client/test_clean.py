"""Nothing that a model or a person writes may steer the terminal."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.client.terminal.clean import LONGEST, Cleaner, clean, json_line

PARTS = [
    "\x1b",
    "[",
    "]",
    "P",
    "_",
    "0",
    "1;31",
    "m",
    "J",
    "c",
    "\\",
    "\x07",
    "\x9b",
    "\x9d",
    "\x9c",
    "\n",
    "\r",
    "a é",
    "(",
    "\x00",
]
HOSTILE = st.lists(st.sampled_from(PARTS), max_size=30).map("".join) | st.text(max_size=30)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;Y29weQ==\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed\nnext line", "\nnext line"),
        ("\x1bPq#0\x1b\\x\x1b_apc\x1b\\y\x1b^pm\x1b\\z", "xyz"),
        ("\x9b2Jc1\x9d0;t\x9cend", "c1end"),
        ("\x1bcreset\x1b(0charset\x1b7", "resetcharset"),
        ("over\rwrite\x08\x7f\x00", "overwrite"),
        ("\x1b[12", ""),
        ("an emoji 👩‍💻 and العربية", "an emoji 👩‍💻 and العربية"),
    ],
)
def test_sequences_are_taken_out(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(HOSTILE)
def test_no_control_character_is_left(text: str) -> None:
    shown = clean(text)
    assert not CONTROL.search(shown)
    assert clean(shown) == shown


@given(st.text(alphabet=st.characters(exclude_categories=["Cc"]) | st.sampled_from("\n\t")))
def test_text_without_controls_is_untouched(text: str) -> None:
    assert clean(text) == text


@given(HOSTILE, st.lists(st.integers(0, 60)))
def test_pieces_are_cleaned_as_the_whole_is(text: str, cuts: list[int]) -> None:
    cleaner, shown, at = Cleaner(), "", 0
    for cut in [*sorted(cut for cut in cuts if cut < len(text)), len(text)]:
        shown += cleaner.feed(text[at:cut])
        assert not CONTROL.search(shown)
        at = cut
    assert shown + cleaner.end() == clean(text)


def test_what_is_no_sequence_is_not_waited_for() -> None:
    cleaner = Cleaner()
    cleaner.feed("\x1b]" + "x" * LONGEST)
    assert cleaner.feed("seen") == "seen"


def test_json_for_a_terminal_means_the_same() -> None:
    said = "a\x1b[2J\x9b31m\x7f\x85 é \u2028 \\x9b"
    line = json_line(msgspec.json.encode({"text": said}))
    assert json.loads(line) == {"text": said}
    assert clean(line) == line
