"""What every scenario does: rounds of cases in turn, their medians and spread, a table, and results as JSON.

A scenario is a module with `TITLE` and ``async def run(bench)``, which calls `bench.rounds` with its cases. Cases are
measured in turn (A B A B ...), so that a machine whose speed drifts treats them alike.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop

from parley.bench.machine import machine
from parley.bench.statistics import summary

Figures = dict[str, Any]
Case = Callable[[], Awaitable[Figures]]

# Columns of the table: dotted path, heading.
COLUMNS = {
    "cpu_s_per_million_tokens": "CPU s/M",
    "cpu_s_per_million_by_part.web": "web",
    "cpu_s_per_million_by_part.worker": "worker",
    "cpu_s_per_million_by_part.redis": "redis",
    "first_token_ms.p50": "first p50",
    "first_token_ms.p99": "p99 ms",
    "lag_ms.p50": "lag p50",
    "lag_ms.p99": "p99 ms",
    "accept_ms.p50": "accept p50",
    "accept_ms.p99": "p99 ms",
    "tokens_per_s": "tokens/s",
    "wrong": "wrong",
}

# Ends of paths that are in the results only.
UNTOLD = (".max", ".count", ".p90", "rss_mb", "upstream_late_ms.p50")


class Bench:
    """What a scenario measures with.

    Args:
        full: everything; else only what a short run has time for.
        count: how often each case is measured.
    """

    def __init__(self, *, full: bool, count: int) -> None:
        self.full = full
        self.count = count
        self.cases: dict[str, list[Figures]] = {}

    async def rounds(self, cases: Mapping[str, Case], count: int = 0) -> None:
        """Measure the cases in turn, `count` times each (as often as was asked for)."""
        for number in range(count or self.count):
            for name, case in cases.items():
                print(f"  {name}: round {number + 1}", file=sys.stderr, flush=True)
                self.cases.setdefault(name, []).append(await case())

    def results(self) -> dict[str, Any]:
        """All runs, and of each case median, least and most of every figure."""
        return {name: {"runs": runs, "summary": summary(runs)} for name, runs in self.cases.items()}


def table(cases: Mapping[str, Any]) -> str:
    """Medians of the figures that loads have; of other cases every figure."""
    width = max(map(len, cases), default=0)
    lines = []
    loads = {name: case["summary"] for name, case in cases.items() if "tokens_per_s" in case["summary"]}
    if loads:
        lines.append(" " * width + "".join(f"{heading:>11}" for heading in COLUMNS.values()))
    for name, figures in loads.items():
        cells = "".join(f"{figures[path]['median']:>11.6g}" if path in figures else " " * 11 for path in COLUMNS)
        lines.append(f"{name:{width}}{cells}")
    for name, case in cases.items():
        if name not in loads:
            told = "  ".join(
                f"{path} {each['median']:g} ({each['min']:g}-{each['max']:g})"
                for path, each in case["summary"].items()
                if not path.endswith(UNTOLD)
            )
            lines.append(f"{name:{width}}  {told}")
    return "\n".join(lines)


def main(name: str, title: str, run: Callable[[Bench], Awaitable[None]]) -> None:
    """Run one scenario by itself and print its table."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--full", action="store_true", help="everything, not only what a short run has time for")
    parser.add_argument("--rounds", type=int, default=3, help="how often each case is measured (3)")
    parser.add_argument("--json", metavar="FILE", help="write every figure of every run there")
    chosen = parser.parse_args()
    bench = Bench(full=chosen.full, count=chosen.rounds)
    uvloop.run(as_coroutine(run(bench)))
    print(table(bench.results()))
    if chosen.json:
        written = {"machine": machine(), "scenarios": {name: {"title": title, "cases": bench.cases}}}
        Path(chosen.json).write_text(json.dumps(written, indent=1))


async def as_coroutine(work: Awaitable[None]) -> None:
    """Anything that can be awaited, for a runner that wants a coroutine."""
    await asyncio.ensure_future(work)
