"""Several runs in one: the median, the least and the most of every figure. Pure."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def flat(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Every number by its dotted path."""
    for name, value in figures.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path, float(value)


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """``{path: {"median", "min", "max"}}`` of the figures that every run has."""
    columns: dict[str, list[float]] = {}
    for run in runs:
        for path, value in flat(run):
            columns.setdefault(path, []).append(value)
    return {
        path: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for path, values in columns.items()
        if len(values) == len(runs)
    }


def ratio(new: float, old: float) -> float:
    """How many times as much; 1.0 where both are nothing, infinite where only the old one is."""
    if old == 0:
        return 1.0 if new == 0 else float("inf")
    return new / old
