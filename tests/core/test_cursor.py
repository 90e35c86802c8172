"""Cursors: a form Redis takes as a stream id, always."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.cursor import START, is_cursor, milliseconds, sequence


@given(st.integers(1, 10**15 - 1), st.integers(0, 10**18 - 1))
def test_what_is_written_is_read(number: int, nonce: int) -> None:
    cursor = f"{number}-{nonce}"
    assert is_cursor(cursor)
    assert (sequence(cursor), milliseconds(cursor)) == (number, nonce // 1000)


def test_the_start_is_a_cursor() -> None:
    assert is_cursor(START)
    assert sequence(START) == 0


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "1-", "-1", "abc", "a-1", "1-a", "01-1", "1-01", "1-1-1", " 1-1", "1-1 ", "1-1\n", "+1-1", "1_0-1",
     "(1-1", "$", "*", "٣-1", "1-1\x00"],
)  # fmt: skip
def test_what_is_malformed_is_refused(text: str) -> None:
    assert not is_cursor(text)


@pytest.mark.parametrize("text", ["99999999999999999999-1", "1-99999999999999999999", "1-18446744073709551616"])
def test_a_cursor_redis_cannot_take_is_refused(text: str) -> None:
    """A half of a stream id has 64 bits; more made Redis reply an error, and that an answer of 500."""
    assert not is_cursor(text)


@given(st.text(st.sampled_from("0123456789-"), max_size=45))
def test_every_cursor_fits_a_stream_id(text: str) -> None:
    if is_cursor(text):
        assert all(int(half) < 2**64 for half in text.split("-"))
