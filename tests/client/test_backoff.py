"""Clients do not come back all at once."""

from hypothesis import given
from hypothesis import strategies as st

from parley.client.backoff import LEAST, MOST, pause


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_pause_is_never_long_and_never_nothing(attempt: int, chance: float) -> None:
    assert 0 < pause(attempt, chance) <= MOST


def test_pauses_grow_and_are_spread_from_the_beginning() -> None:
    longest = [pause(attempt, 1.0) for attempt in range(1, 12)]
    assert longest == sorted(longest)
    assert (longest[0], longest[-1]) == (2 * LEAST, MOST)
    thousand = [pause(6, at / 1000) for at in range(1000)]
    assert max(sum(low <= one < low + 1 for one in thousand) for low in range(10)) <= 150
