"""Results, looked up: one figure of one case, as median, least and most."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import svg

from parley.bench.statistics import summary


class Results:
    """What `run.py --full` wrote."""

    def __init__(self, path: Path) -> None:
        whole = json.loads(path.read_text())
        self.machine: dict[str, Any] = whole["machine"]
        self.scenarios: dict[str, Any] = whole["scenarios"]
        self._cases = {
            name: {case: summary(runs) for case, runs in scenario["cases"].items()}
            for name, scenario in self.scenarios.items()
        }

    def cases(self, scenario: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The cases of a scenario with their summaries."""
        yield from self._cases.get(scenario, {}).items()

    def range(self, scenario: str, case: str, figure: str) -> dict[str, float] | None:
        """Median, least and most; None where it was not measured."""
        found: dict[str, float] | None = dict(self.cases(scenario)).get(case, {}).get(figure)
        return found

    def median(self, scenario: str, case: str, figure: str) -> float | None:
        """The median; None where it was not measured."""
        found = self.range(scenario, case, figure)
        return None if found is None else found["median"]


def parts(summary: dict[str, Any], before: str, behind: str = "", factor: float = 1.0) -> dict[str, float]:
    """The medians below a path, by part."""
    return {
        path.removeprefix(before).removesuffix(behind): figure["median"] * factor
        for path, figure in summary.items()
        if path.startswith(before) and path.endswith(behind)
    }


def shown(figure: dict[str, float] | None) -> str:
    """Median (least-most) for a table."""
    if figure is None:
        return "-"
    if figure["min"] == figure["max"]:
        return svg.number(figure["median"])
    return f"{svg.number(figure['median'])} ({svg.number(figure['min'])}-{svg.number(figure['max'])})"
