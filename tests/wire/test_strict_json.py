"""Strict JSON: what is read, what is refused, and with which words."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core.errors import InvalidRequest
from parley.wire import strict_json
from parley.wire.commands import Command, Create, Say

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def refusal(action: Callable[[], object]) -> str | None:
    """The code an action is refused with; None: it is not."""
    try:
        action()
    except InvalidRequest as error:
        return error.code
    return None


@settings(deadline=None)
@given(JSON)
def test_what_the_standard_library_writes_is_read(value: Any) -> None:
    for ascii_only in (True, False):
        assert strict_json.parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    codes = {"invalid_utf8", "invalid_json", "too_deep", "duplicate_key", "invalid_text"}
    assert refusal(lambda: strict_json.parse(data)) in {None, *codes}


@settings(deadline=None)
@given(JSON)
def test_any_value_is_converted_or_refused(value: Any) -> None:
    kinds: list[Any] = [Say, Create, Command]
    for kind in kinds:
        codes = {None, "unknown_parameter", "missing_parameter", "invalid_value"}
        assert refusal(partial(strict_json.convert, value, kind)) in codes


@pytest.mark.parametrize("depth", [1, 31, 32])
def test_up_to_32_levels(depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert json.dumps(strict_json.parse(text)) == text


@pytest.mark.parametrize("text", ["[" * 33 + "]" * 33, '{"a":' * 33 + "1" + "}" * 33, "[" * 1_000_000])
def test_no_more_than_32_levels(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidRequest) as refused:
        strict_json.parse(text)
    assert refused.value.code == "too_deep"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("text", ["[{" * 5_000, '"[[[[', "\\" * 1_000 + '"[[{', '\\"' * 10_000 + "[" * 32, '\n{"'])
def test_brackets_within_text_are_no_levels(text: str) -> None:
    assert strict_json.parse(json.dumps({"input": text})) == {"input": text}


def test_scanning_takes_linear_time() -> None:
    began = time.monotonic()
    for text in ('"' + "\\" * 500_000, '"' * 500_001 + "[" * 40, '["' + '[\\"' * 300_000 + '"]'):
        try:
            strict_json.parse(text)
        except InvalidRequest:
            continue
    assert time.monotonic() - began < 5


def test_a_type_in_the_annotation_is_checked_to_the_letter() -> None:
    with pytest.raises(InvalidRequest) as refused:
        strict_json.convert({"input": "x", "parameters": {"temperature": "0.5"}}, Say)
    assert (refused.value.code, refused.value.param) == ("invalid_value", "parameters.temperature")
