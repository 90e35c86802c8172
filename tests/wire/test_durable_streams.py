"""Offsets and cursors of Durable Streams."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.errors import Gone, InvalidRequest
from parley.wire.durable_streams import EPOCH, INTERVAL, Asked, Offset, Part, next_cursor, read_query, start_of

OFFSETS = st.builds(Offset, st.integers(1, 9999), st.integers(0, 10**9))


@given(OFFSETS, OFFSETS)
def test_offsets_sort_as_texts(one: Offset, other: Offset) -> None:
    """[8] lexicographically sortable, unique, free of what an address needs."""
    assert (str(one) < str(other)) == (one < other)
    assert not set(str(one)) & set(",&=?/")
    assert read_query([("offset", str(one))]) == Asked(one, "catch-up")


@given(st.integers(-1, 10**9), st.integers(EPOCH, EPOCH + 10**10), st.integers(1, 3600))
def test_cursors_never_stand_still(given_cursor: int, now: int, jitter: int) -> None:
    """[10.1]"""
    found = next_cursor(given_cursor, now, jitter)
    assert found > given_cursor
    assert found >= (now - EPOCH) // INTERVAL


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ([("offset", "")], "offset"),
        ([("offset", "0")], "offset"),
        ([("offset", "-2")], "offset"),
        ([("offset", "0001_00000000000")], "offset"),
        ([("offset", "0001_000000000x")], "offset"),
        ([("offset", "NOW")], "offset"),
        ([("offset", "-1"), ("offset", "-1")], "offset"),
        ([("live", "sse")], "offset"),
        ([("live", "long-poll")], "offset"),
        ([("offset", "-1"), ("live", "true")], "live"),
        ([("offset", "-1"), ("live", "")], "live"),
        ([("cursor", "x")], "cursor"),
        ([("cursor", "1" * 20)], "cursor"),
    ],
)
def test_bad_queries(query: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_query(query)
    assert caught.value.param == param


def test_good_queries() -> None:
    assert read_query([]) == Asked("start", "catch-up")
    assert read_query([("offset", "now"), ("live", "sse"), ("other", "1"), ("other", "2")]) == Asked("now", "sse")
    assert read_query([("offset", "-1"), ("live", "long-poll"), ("cursor", "77")]) == Asked("start", "long-poll", 77)


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        *[("start", 0), ("now", 9), (Offset(2, 5), 5), (Offset(2, 9), 9), (Offset(1, 2), 2)],
        *[(Offset(1, 3), None), (Offset(3, 5), None), (Offset(2, 10), None)],
    ],
)
def test_where_to_begin(asked: Offset | Literal["start", "now"], start: int | None) -> None:
    """In the second generation of a reply, with two events before the reply's own and nine in all."""
    if start is not None:
        assert start_of(asked, 2, 2, 9) == start
        return
    with pytest.raises(Gone):
        start_of(asked, 2, 2, 9)


def test_tags_tell_that_a_stream_is_closed() -> None:
    open_part = Part(Offset(1, 0), Offset(1, 2), [b"{}", b"{}"], True, False)
    closed = Part(Offset(1, 0), Offset(1, 2), [b"{}", b"{}"], True, True)
    assert open_part.etag("resp_x") != closed.etag("resp_x")
    assert open_part.body == b"[{},{}]"
