"""Writes docs/guarantees.md: guarantees.md beside this, the fault catalogue, and what was measured (its .json).

    python tools/guarantees_page.py                    the page
    python tools/guarantees_page.py FILE...            first keeps what these files tell, then the page

A file holds JSON lines, or one JSON list or object: figures of fault tests (PARLEY_FIGURES, tests/faults/figures.py),
runs of experiments/chaos.py, results of experiments/mutations.py, a soak of experiments/soak.py.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.catalogue import Fault, catalogue

DOCS = Path(__file__).parents[1] / "docs"
PAGE, KEPT = DOCS / "guarantees.md", DOCS / "guarantees.json"
# What is written by hand, with a place for the rest.
FRAME, PLACE = Path(__file__).with_name("guarantees.md"), "<!-- measured -->\n"
# The row of the catalogue that a soak stands for.
ALL_AT_ONCE = "F42"
FLAWS = ("lost", "repeated", "out_of_order", "wrong", "left")
KILLS = ("kill", "rollback", "power")
ROLLBACKS = ("rollback", "power")
Json = dict[str, Any]


def page(kept: Json) -> str:
    """The whole page."""
    parts = [*faults(kept.get("figures", []), kept.get("soak", {})), *chaos(kept.get("chaos", []))]
    parts += [*mutations(kept.get("mutations", [])), *soak(kept.get("soak", {}))]
    return FRAME.read_text().replace(PLACE, "\n".join(parts))


# Faults


def faults(figures: Sequence[Json], long: Json) -> Iterator[str]:
    """One row a fault, with what was measured of it; of all of them at once that is the soak."""
    rows = catalogue()
    tested = sum(bool(row.tests) for row in rows.fault)
    yield f"## Faults\n\n{len(rows.fault)} faults, {tested} of them with a test of their own. {rows.servers}\n"
    yield "| | fault | what holds | measured | tested |\n|---|---|---|---|---|"
    for row in rows.fault:
        measured = "; ".join(map(told, merged([each for each in figures if each["fault"] == row.id])))
        if row.id == ALL_AT_ONCE and long:
            measured = f"{long['minutes']} min: {long['turns']:,} answered, {long['takeovers']} takeovers (below)"
        yield f"| {row.id} | {row.fault} | {row.holds} | {measured} | {where(row)} |"
    yield ""


def merged(figures: Sequence[Json]) -> list[Json]:
    """One figure for all of the same names, of other servers and other instants: each value from the least to the most.

    `what` keeps apart what it names.
    """
    groups: dict[tuple[Any, ...], list[Json]] = {}
    for each in figures:
        figure = {name: value for name, value in each.items() if name not in ("fault", "test")}
        groups.setdefault((figure.get("what"), *figure), []).append(figure)
    return [{name: [each[name] for each in group] for name in group[0]} for group in groups.values()]


def told(figure: Json) -> str:
    """A figure as people read it: ``gap 0.8-1.2 s, 12 instants``, perhaps behind what it is of."""
    said = ", ".join(value_told(name, values) for name, values in figure.items() if name != "what")
    return f"{figure['what'][0]}: {said}" if "what" in figure else said


def value_told(name: str, values: Sequence[Any]) -> str:
    """One value of a figure, or those of several tests."""
    if isinstance(values[0], str):
        return f"{len(set(values))} {words(name)}s"
    span = "–".join(dict.fromkeys((short_number(min(values)), short_number(max(values)))))
    if unit(name):
        return " ".join(filter(None, (words(name), span, unit(name))))
    return f"{span} {words(name).removesuffix('s') if span == '1' else words(name)}"


def short_number(value: float) -> str:
    """Two digits are enough of a measurement; a count stands as it is."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{float(f'{value:.2g}'):g}" if value < 10 else f"{value:.0f}"


def unit(name: str) -> str:
    """The unit that ends a figure's name."""
    return (
        {"ms": "ms", "s": "s", "bytes": "bytes"}.get(name.rpartition("_")[2], "") if "_" in name or name == "ms" else ""
    )


def words(name: str) -> str:
    """A figure's name without its unit."""
    return (name.rpartition("_")[0] if unit(name) else name).replace("_", " ")


def where(row: Fault) -> str:
    """How a fault is tested."""
    if not row.tests:
        return f"no: {row.missing}" if row.missing else (f"by hand: `{row.longer}`" if row.longer else "no")
    return {"push": "with every push", "hand": "by hand"}[row.tier]


# Chaos


def hurts(run: Json, part: str, names: Sequence[str] = ()) -> int:
    """How often a part was hurt in a run, or so."""
    done: Mapping[str, int] = run["hurt"].get(part, {})
    return sum(count for fault, count in done.items() if not names or fault in names)


def broken(run: Json) -> int:
    """Promises that a run saw broken."""
    return sum(abs(run[kind]) for kind in FLAWS)


def chaos(runs: Sequence[Json]) -> Iterator[str]:
    """The runs of experiments/chaos.py: sums, and each."""
    counted, void = [run for run in runs if not run.get("void")], [run for run in runs if run.get("void")]
    yield "## Chaos\n"
    yield "Conversations talk and are watched while workers, web servers and Redis are killed, stopped and told to go at\nrandom; Redis is also rolled back: killed, and started on a file that lacks what no receipt stands for. Every token\nof the model names its message and its place, so what must be seen is known to the letter. The longest stop is from a reply's last text before a takeover to its next one,\nas seen by a viewer over whatever web server lived, and as written by Redis's clock.\n"  # noqa: E501
    if not counted:
        yield "No run is recorded.\n"
        return
    yield "| server | runs | messages | takeovers | Redis killed | of them rolled back | violations |\n|---|---|---|---|---|---|---|"  # noqa: E501
    total: Counter[str] = Counter()
    for server in sorted({run["server"] for run in counted}):
        sums = summed([run for run in counted if run["server"] == server])
        total.update(sums)
        yield line(server, sums)
    yield line("**all**", total)
    yield ""
    yield "<details><summary>Each run</summary>\n"
    yield "| date | server | kind | after a takeover | seed | commit | messages | takeovers | Redis killed | rolled back | longest stop seen | written | violations |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"  # noqa: E501
    for run in counted:
        yield (
            f"| {run['date']} | {run['server']} | {run['kind']} | {run['recovery']} | {run['seed']} | "
            f"{run['commit']} | "
            f"{run['answered']} of {run['accepted']} | {run['takeovers']} | {hurts(run, 'redis', KILLS)} | "
            f"{hurts(run, 'redis', ROLLBACKS)} | {run['frozen_max']:.1f} s | {stopped(run)} | {broken(run)} |"
        )
    yield "\n</details>\n"
    if void:
        yield f"{len(void)} further runs do not count, whatever they say:\n"
        for run in void:
            yield f"- seed {run['seed']}, {run['server']}: {run['void']}"
        yield ""


def stopped(run: Json) -> str:
    """How long a reply was not written to at most, where that was measured."""
    return f"{run['stopped_max']:.1f} s" if "stopped_max" in run else ""


def summed(runs: Sequence[Json]) -> Counter[str]:
    """What runs did in all."""
    return Counter(
        runs=len(runs),
        answered=sum(run["answered"] for run in runs),
        takeovers=sum(run["takeovers"] for run in runs),
        kills=sum(hurts(run, "redis", KILLS) for run in runs),
        rollbacks=sum(hurts(run, "redis", ROLLBACKS) for run in runs),
        violations=sum(broken(run) for run in runs),
    )


def line(name: str, sums: Counter[str]) -> str:
    """A row of sums."""
    names = ("runs", "answered", "takeovers", "kills", "rollbacks", "violations")
    return f"| {name} | {' | '.join(f'{sums[each]:,}' for each in names)} |"


# Mutations and soak


def mutations(results: Sequence[Json]) -> Iterator[str]:
    """What the harness said of a Parley with a guard taken out."""
    yield "## Can the tests fail?\n"
    yield "The walks of the model (`tests/store/test_oracle.py`) plant some 30 faults in the scripts, one after the other, with\nevery push, and each must be found; a torn append-only file that nobody mends is planted in\n`tests/store/test_embedded.py`. Chaos finds out, too, when a guard is taken out of a copy of Parley. Each has a storm of\nunder a minute that needs it; a copy with nothing taken out stands the same storm:\n"  # noqa: E501
    if not results:
        yield "No run is recorded.\n"
        return
    yield "| taken out | the storm | seed | nothing taken out | taken out | seen first |\n|---|---|---|---|---|---|"
    for each in results:
        stood, last = each["unhurt"][-1], each["runs"][-1]
        said = ", ".join(f"{last[kind]} {kind.replace('_', ' ')}" for kind in FLAWS if last.get(kind))
        stands = f"{stood['answered']:,} of {stood['accepted']:,} right" if each["stands"] else "does not stand"
        first = brief(last["flaws"]) if each["caught"] else ""
        verdict = said if each["caught"] else f"not in {len(each['runs'])} runs"
        yield f"| {each['mutation']} | {each['provokes']} | {last['seed']} | {stands} | {verdict} | {first} |"
    yield ""


def brief(flaws: Sequence[str]) -> str:
    """The first flaw, without the name of who saw it and in what conversation."""
    return re.sub(r"\b(socket|events) conv_\w+: ", "", flaws[0]).replace("|", "\\|") if flaws else "left in the queues"


def soak(found: Json) -> Iterator[str]:
    """What an hour's soak showed."""
    if not found:
        return
    hurt = ", ".join(f"{name} {count}" for name, count in found["hurt"].items())
    yield "## Does anything grow?\n"
    yield f"{found['minutes']} minutes under a steady load, {found['turns']:,} turns answered, {found['takeovers']} takeovers (a second worker was hurt\nagain and again: {hurt}), violations: {sum(abs(found[kind]) for kind in FLAWS)}. Of the parts that lived through all of it, in the second half of the time:\n"  # noqa: E501
    yield "| | half-way | at the end | slope, an hour |\n|---|---|---|---|"
    for name, column in found["columns"].items():
        mega = " MB" if name.split()[-1] in ("pss", "rss", "memory", "aof") else ""
        yield f"| {name} | {column['half-way']:g}{mega} | {column['end']:g}{mega} | {column['an hour']:+g}{mega} |"
    yield f"\nThe slope is Theil and Sen's.{' ' + found['remark'] if found.get('remark') else ''}\n"
    yield "![Memory over time](guarantees-soak.svg)\n"
    yield "After 500 turns with every push, and 10,000 by hand, nothing is left: no key of a conversation, no entry of a queue,\nno open file (`tests/system/test_leaks.py`).\n"  # noqa: E501


# Keeping


def keep(kept: Json, told: Sequence[Any]) -> None:
    """Take over what a file tells: all figures of the tests in it, every run once, the latest mutations and soak."""
    tests = {each["test"] for each in told if "fault" in each}
    kept["figures"] = [one for one in kept.get("figures", []) if one["test"] not in tests]
    for each in told:
        if isinstance(each, list):
            kept["mutations"] = each
        elif "fault" in each:
            others = [one for one in kept["figures"] if identity(one) != identity(each)]
            kept["figures"] = sorted([*others, each], key=identity)
        elif "server" in each and "seed" in each:
            others = [
                run for run in kept.get("chaos", []) if (run["date"], run["seed"]) != (each["date"], each["seed"])
            ]
            kept["chaos"] = sorted([*others, short(each)], key=lambda run: run["date"])
        elif "columns" in each:
            kept["soak"] = {name: value for name, value in each.items() if name != "flaws"}
        else:
            raise SystemExit(f"this is nothing that was measured: {str(each)[:80]}")


def identity(figure: Json) -> tuple[str, ...]:
    """What makes a figure another one than all others: a later one of the same identity takes its place."""
    return figure["fault"], figure["test"], figure.get("what", ""), *figure


def short(run: Json) -> Json:
    """What is kept of a run: figures. What a run that failed to begin says is kept as the reason why it is void."""
    if "failed" in run:
        return {"date": run["date"], "seed": run["seed"], "server": run["server"], "void": run["failed"]}
    return {name: value for name, value in run.items() if name not in ("said", "flaws") or (value and name == "flaws")}


def read(path: Path) -> list[Any]:
    """What a file tells."""
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]


def main(paths: Sequence[str]) -> None:
    """Keep, and write the page."""
    kept: Json = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for path in paths:
        keep(kept, read(Path(path)))
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(page(kept))


if __name__ == "__main__":
    main(sys.argv[1:])
