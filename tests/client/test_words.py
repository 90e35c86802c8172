"""Slash words and messages over several lines."""

import pytest

from parley.client.terminal import words
from parley.client.terminal.words import Word


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("/new", Word("new", "", "new")),
        ("/open  3 ", Word("open", "3", "open")),
        ("/system two\nlines", Word("system", "two\nlines", "system")),
        ("/?", Word("help", "", "?")),
        ("/quit", Word("bye", "", "quit")),
        ("exit", Word("bye")),
        (" quit ", Word("bye")),
        ("/nonsense x", Word("", "x", "nonsense")),
        ("hello", None),
        ("exit the building", None),
        (" /new", None),
        ("/etc/passwd", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_line_is_a_word_or_a_message(line: str, word: Word | None) -> None:
    assert words.parse(line) == word


@pytest.mark.parametrize(
    ("text", "unfinished", "message"),
    [
        ("one line", False, "one line"),
        ('"""', True, ""),
        ('""""', True, '"'),
        ('"""one\ntwo', True, "one\ntwo"),
        ('"""one\ntwo"""', False, "one\ntwo"),
        ('"""\n  indented\n"""  ', False, "  indented"),
        ('say """hello"""', False, 'say """hello"""'),
    ],
)
def test_quotes_keep_a_message_open(text: str, unfinished: bool, message: str) -> None:
    assert words.unfinished(text) is unfinished
    assert words.message(text) == message


def test_help_names_every_word() -> None:
    assert all(f"/{word}" in words.help_text() for word in words.WORDS)
