"""The histogram: quantiles to 1 % of the true ones, also when merged."""

import math

from hypothesis import given
from hypothesis import strategies as st

from parley.bench.histogram import Histogram

VALUES = st.lists(st.floats(1e-5, 1e3), min_size=1)
PARTS = st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0])


@given(VALUES, PARTS)
def test_a_quantile_is_within_a_percent(values: list[float], part: float) -> None:
    true = sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
    assert abs(Histogram(values).quantile(part) - true) <= 0.01 * true


@given(VALUES, VALUES, PARTS)
def test_merged_is_as_if_counted_together(first: list[float], second: list[float], part: float) -> None:
    merged = Histogram(first)
    merged.merge(Histogram(second))
    assert merged.quantile(part) == Histogram(first + second).quantile(part)
    assert merged.count == len(first) + len(second)


def test_what_is_told() -> None:
    told = Histogram([0.001] * 98 + [0.5, 2.0]).milliseconds()
    assert told["count"] == 100
    assert abs(told["p50"] - 1.0) < 0.01
    assert abs(told["p99"] - 500) < 5
    assert told["max"] == 2000


def test_nothing_and_less_than_nothing() -> None:
    assert Histogram().milliseconds() == {}
    assert Histogram([-1.0, 0.0]).quantile(0.5) == 0.0
