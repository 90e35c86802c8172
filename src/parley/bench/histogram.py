"""Latencies in buckets whose width grows with the value, as HdrHistogram has them: any number of values, 1 % exact.

Values are seconds. Below 1 microsecond all are one; every power of two above is cut into 64 buckets.
"""

import math
from collections import Counter
from collections.abc import Iterable

PARTS = 64
UNIT = 1e-6


class Histogram:
    """Counts of values. `merge` adds those of another."""

    __slots__ = ("_counts", "count", "largest")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.largest = 0.0
        self.add_all(values)

    def add(self, value: float, times: int = 1) -> None:
        """Count a value; one below zero counts as zero."""
        self._counts[_bucket(value)] += times
        self.count += times
        self.largest = max(self.largest, value)

    def add_all(self, values: Iterable[float]) -> None:
        """Count values."""
        for value in values:
            self.add(value)

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another histogram."""
        self._counts.update(other._counts)
        self.count += other.count
        self.largest = max(self.largest, other.largest)

    def quantile(self, part: float) -> float:
        """The value that `part` (0 to 1) of all values do not exceed, to 1 %; 0.0 of nothing."""
        wanted, seen = math.ceil(part * self.count), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(_value(bucket), self.largest)
        return self.largest

    def milliseconds(self) -> dict[str, float]:
        """The quantiles that are told, in milliseconds, and how many values there were; nothing of nothing."""
        if not self.count:
            return {}
        told = {name: self.quantile(part) for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}
        told["max"] = self.largest
        return {name: round(value * 1000, 3) for name, value in told.items()} | {"count": self.count}


def _bucket(value: float) -> int:
    units = value / UNIT
    if units < 1:
        return 0
    fraction, exponent = math.frexp(units)  # 0.5 <= fraction < 1
    return exponent * PARTS + int((fraction * 2 - 1) * PARTS)


def _value(bucket: int) -> float:
    """The middle of a bucket."""
    if bucket == 0:
        return 0.0
    exponent, part = divmod(bucket, PARTS)
    return math.ldexp((1 + (part + 0.5) / PARTS) / 2, exponent) * UNIT
