"""All scenarios one after the other, and what became slower.

    python benchmarks/run.py            short, at most five minutes; compared with baseline.json
    python benchmarks/run.py --full     everything, into results.json, from which docs/performance.md is written

Nothing passes or fails by time: what is slower than the baseline is told by ratio. What does fail is a reply that was
wrong in one character.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from common import Bench, as_coroutine, table

from parley.bench.machine import machine
from parley.bench.statistics import COMPARED, compare

HERE = Path(__file__).parent
SHORT = ("start", "accept", "stream", "burst", "many", "history", "watchers", "idle")
FULL = (*SHORT, "storage", "durability", "sharded", "processes", "cores", "overload", "beside")
# Starting a Parley for each figure takes long; memory hardly varies.
ONCE = ("idle",)
# What the load client and the upstream spend.
YARDSTICK = ("client_cpu_s", "upstream_cpu_s")


def measured(name: str, *, full: bool, rounds: int) -> dict[str, Any]:
    """One scenario."""
    scenario = importlib.import_module(name)
    print(f"\n{scenario.TITLE}", file=sys.stderr, flush=True)
    bench = Bench(full=full, count=1 if name in ONCE and not full else rounds)
    began = time.monotonic()
    uvloop.run(as_coroutine(scenario.run(bench)))
    cases = bench.results()
    print(table(cases), flush=True)
    return {"title": scenario.TITLE, "took_s": round(time.monotonic() - began), "cases": cases}


def wrong(scenarios: dict[str, Any]) -> Any:
    """How many replies were not what the model said."""
    return sum(
        run.get("wrong", 0) for each in scenarios.values() for case in each["cases"].values() for run in case["runs"]
    )


def report(scenarios: dict[str, Any], baseline: dict[str, Any]) -> None:
    """Print every figure beside its baseline, what is slower last."""
    if not baseline:
        print("\nThere is no baseline yet: --save-baseline makes one.")
        return
    changes = compare(scenarios, baseline["scenarios"])
    then = baseline["machine"]
    print(f"\nBeside the baseline of {then['at']} ({then['cpu']}, load {then['load_average']:.1f}); above 1 is worse")
    for each in changes:
        print(f"{each.case:45} {each.figure:30} {each.old:>10.5g} {each.new:>10.5g}   x {each.ratio:.2f}")
    speed = yardstick(scenarios) / (yardstick(baseline["scenarios"]) or 1)
    print(f"\nThe client and the upstream alone cost x {speed:.2f}: that much is the machine, not Parley.")
    slower = [each for each in changes if each.slower and "direct" not in each.case]
    for each in slower:
        print(f"SLOWER  {each.case}, {each.figure}: x {each.ratio:.2f}")
    if not slower:
        print("Nothing is slower beyond the spread of the runs.")


def yardstick(scenarios: dict[str, Any]) -> Any:
    """CPU seconds of the load client and the upstream for the direct case: the same work on any version of Parley."""
    figures = scenarios.get("stream", {"cases": {}})["cases"].get("direct", {"summary": {}})["summary"]
    return sum(figures[name]["median"] for name in YARDSTICK if name in figures)


def read(path: Path) -> dict[str, Any]:
    """Results that were written before; nothing where there are none."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def main() -> int:
    """Measure; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--rounds", type=int, default=3, help="how often each case is measured (3)")
    parser.add_argument("--only", metavar="A,B", help=f"these scenarios of {', '.join(FULL)}")
    parser.add_argument("--out", type=Path, help="where the results go (results.json with --full)")
    parser.add_argument("--save-baseline", action="store_true", help="what is measured now is the new baseline")
    chosen = parser.parse_args()
    names = chosen.only.split(",") if chosen.only else FULL if chosen.full else SHORT
    if unknown := set(names) - set(FULL):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    about = machine()
    scenarios = {name: measured(name, full=chosen.full, rounds=chosen.rounds) for name in names}
    out = chosen.out or (HERE / "results.json" if chosen.full else None)
    if out:
        kept = read(out).get("scenarios", {}) if chosen.only else {}
        fresh = {name: each | {"machine": about, "cases": runs_of(each["cases"])} for name, each in scenarios.items()}
        out.write_text(json.dumps({"machine": about, "scenarios": kept | fresh}) + "\n")
    baseline = HERE / "baseline.json"
    if chosen.save_baseline:
        small = {name: {"cases": strip(each["cases"])} for name, each in scenarios.items()}
        baseline.write_text(json.dumps({"machine": about, "scenarios": small}, indent=1) + "\n")
    elif not chosen.full:
        report(scenarios, read(baseline))
    if count := wrong(scenarios):
        print(f"{count:g} replies were wrong", file=sys.stderr)
        return 1
    return 0


def runs_of(cases: dict[str, Any]) -> dict[str, Any]:
    """The runs, from which the summaries follow."""
    return {name: case["runs"] for name, case in cases.items()}


def strip(cases: dict[str, Any]) -> dict[str, Any]:
    """Of the summaries what is compared."""
    kept = (*COMPARED, *YARDSTICK)
    return {
        name: {"summary": {path: case["summary"][path] for path in kept if path in case["summary"]}}
        for name, case in cases.items()
    }


if __name__ == "__main__":
    sys.exit(main())
