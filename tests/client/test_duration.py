"""Lengths of time as people write them."""

from datetime import timedelta

import pytest

from parley.client.duration import seconds
from parley.client.errors import InvalidRequest


@pytest.mark.parametrize(
    ("length", "expected"),
    [("90", 90), (90, 90), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600),
     (timedelta(days=1, seconds=1.9), 86_401)],
)  # fmt: skip
def test_lengths(length: str | int | timedelta, expected: int) -> None:
    assert seconds(length) == expected


@pytest.mark.parametrize("length", ["", "d", "7 d", "-7d", "1.5h", "soon", 0, -1, timedelta(0), "7D", "9" * 10])
def test_what_is_none(length: str | int | timedelta) -> None:
    with pytest.raises(InvalidRequest, match="7d"):
        seconds(length)
