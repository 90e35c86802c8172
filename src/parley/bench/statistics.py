"""Several runs in one: the median, the least and the most of every figure. Pure."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

Range = Mapping[str, float]


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


# What is compared with a baseline -> whether less of it is better.
COMPARED = {
    "cpu_s_per_million_tokens": True,
    "cpu_ms_per_turn": True,
    "cpu_us_per_delta_and_watcher": True,
    "first_token_ms.p50": True,
    "lag_ms.p99": True,
    "accept_ms.p50": True,
    "tokens_per_s": False,
    "kb_each": True,
    "ready_s": True,
    "total.pss_mb": True,
}

# How much worse a median must be to be told.
WORSE = 1.1


class Change(Struct, frozen=True):
    """A figure beside its baseline. `ratio` above 1 is worse; `apart`: no run of either comes near the other's."""

    case: str
    figure: str
    old: float
    new: float
    ratio: float
    apart: bool

    @property
    def slower(self) -> bool:
        """Worse, and not by noise alone."""
        return self.apart and self.ratio > WORSE


def compare(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Change]:
    """The figures of both, scenario by scenario and case by case, beside each other.

    Args:
        new, old: ``{scenario: {"cases": {case: {"summary": {path: {"median", "min", "max"}}}}}}``
    """
    changes = []
    for scenario, told in new.items():
        before = old.get(scenario, {"cases": {}})["cases"]
        for case, figures in told["cases"].items():
            for figure, less in COMPARED.items():
                now = figures["summary"].get(figure)
                then = before.get(case, {"summary": {}})["summary"].get(figure)
                if now and then and now["median"] > 0 and then["median"] > 0:
                    changes.append(_change(f"{scenario}: {case}", figure, now, then, less=less))
    return changes


def _change(case: str, figure: str, now: Range, then: Range, *, less: bool) -> Change:
    ratio = now["median"] / then["median"] if less else then["median"] / now["median"]
    apart = now["min"] > then["max"] or now["max"] < then["min"]
    return Change(case, figure, then["median"], now["median"], ratio, apart)
