"""The first seed's shapes: renderings and lines that do not depend on how text was cut, and what an input means."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.errors import InvalidRequest
from parley.core.pieces import Channel
from parley.wire import serverless
from parley.wire.serverless import Mark, More, Rendering, Say, Switch, cut, line, parse, parse_mark, parse_token

MODELS = ("one", "two words", "two")
CHANNELS = st.sampled_from(("text", "reasoning"))
TEXT = st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "thin", "k>", ">", "a", "🎉", "\n"])).map("".join)


def render(pieces: list[tuple[str, Channel]]) -> tuple[str, list[str]]:
    """The whole rendering, and how it grew."""
    rendering, whole, grew = Rendering(), "", []
    for text, channel in pieces:
        whole += rendering.add(text, channel)
        grew.append(whole)
    return whole + rendering.end(), grew


@given(st.lists(st.tuples(TEXT, CHANNELS)), st.data())
def test_a_rendering_does_not_depend_on_how_it_was_cut(runs: list[tuple[str, Channel]], data: st.DataObject) -> None:
    joined: list[tuple[str, Channel]] = []
    for text, channel in runs:
        if joined and joined[-1][1] == channel:
            joined[-1] = (joined[-1][0] + text, channel)
        elif text:
            joined.append((text, channel))
    pieces: list[tuple[str, Channel]] = []
    for text, channel in joined:
        at = data.draw(st.integers(0, len(text)))
        pieces += [(text[:at], channel), (text[at:], channel)]
    whole, grew = render(pieces)
    assert (
        whole
        == render(joined)[0]
        == render([(character, channel) for text, channel in joined for character in text])[0]
    )
    assert all(whole.startswith(part) for part in grew)
    assert "<think>" not in whole
    plain = "".join(text for text, channel in joined if channel == "text")
    if all(channel == "text" for _, channel in joined):
        assert whole == plain.replace("<think>", "[think]").replace("</think>", "[/think]")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=5_000))
def test_every_line_fits_and_nothing_is_lost(text: str) -> None:
    lines = [line(output=part) for part in cut(text * 3)]
    assert all(len(each) <= serverless.LINE_BYTES and each.isascii() for each in lines)
    assert "".join(json.loads(each)["output"] for each in lines) == text * 3
    assert all(json.loads(each)["output"] for each in lines)
    # No line could have taken what begins the next one.
    for one, other in pairwise(lines):
        first = json.dumps(json.loads(other)["output"][0])
        assert len(one) + len(first) - 2 > serverless.LINE_BYTES


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", More()),
        (None, More()),
        (" \n", More()),
        ("/more", More()),
        ({}, More()),
        ("hello", Say("hello")),
        ("  hello ", Say("  hello ")),
        ("/models", Say("/models")),
        ("/modelone", Say("/modelone")),
        ("/model", Switch()),
        ("/model  two words ", Switch("two words")),
        ("@", Switch()),
        ("@one", Switch("one")),
        ("@nobody", Switch("nobody")),
        ("@two words", Switch("two words")),
        ("@two words hello", Say("hello", "two words")),
        ("@two hello you", Say("hello you", "two")),
        ("@one\nhello", Say("hello", "one")),
        ("@ann hello", Say("@ann hello")),
        ("a@one hello", Say("a@one hello")),
    ],
)
def test_what_is_meant(said: object, meant: serverless.Said) -> None:
    assert parse(said, MODELS) == meant


@pytest.mark.parametrize("said", [5, 1.5, True, [], ["x"], {"form": 5}, {"form": {"x": {}}}, {"a": [1]}])
def test_what_means_nothing(said: object) -> None:
    with pytest.raises(InvalidRequest):
        parse(said, MODELS)


def test_tokens_have_a_user_and_a_secret() -> None:
    assert parse_token("ann:x") == ("ann", "x")
    assert parse_token("ann:x:y") == ("ann", "x:y")
    for bad in ("", ":", "ann", "ann:", ":x", "a b:x", "a\n:x", "\0:x", "x" * 101 + ":x"):
        assert parse_token(bad) is None, bad


@given(st.integers(1, 999), st.integers(0, 10**9 - 1))
def test_marks(generation: int, told: int) -> None:
    mark = Mark("0123456789abcdef", generation, told)
    assert parse_mark(mark.encode()) == mark
    assert parse_mark(mark.encode() + "x") is None


def test_errors_are_one_sentence_in_brackets() -> None:
    assert serverless.failure(" It broke. ") == "[error: It broke]"
    assert re.fullmatch(r"\[error: .+\]", serverless.failure("x"))
