"""Writes docs/performance-page.md from browser.json.

    python benchmarks/browser_page.py [--check]

With --check nothing is written; exit status 1 when the page is not what the results say.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance-page.md"

INTRO = """# Performance of the page

Written by `make bench-page` from `benchmarks/browser.json`; do not edit. Measured on {cpu}, {cores} cores, {at} UTC,
load average at the beginning {load_average:.1f}{busy}. Real Chromium with a fresh profile, browser, server and model on
the same machine; first visits are medians of several.

The standard reply is `benchmarks/reply.md`: {characters:,} characters of Markdown in 1,736 pieces, 100 a second
(17.4 s), with lists, tables, code, formulas and links. *Long tasks* are those above 50 ms, in which a page does not
react. *Nodes* are those of the document that were put in or taken out meanwhile.
"""
BUSY = ": the machine was shared, these are not its best figures"
Row = tuple[str, str, Callable[[dict[str, Any]], str]]


def number(name: str, unit: str = "", digits: int = 0) -> Callable[[dict[str, Any]], str]:
    """How a figure is shown; a dash, where it was not measured."""
    return lambda found: f"{found[name]:,.{digits}f}{unit}" if name in found else "-"


def took(found: dict[str, Any]) -> str:
    """How long the standard reply took; a page may not have finished it."""
    return number("took_s", " s", 1)(found) if "took_s" in found else f"more than {found['gave_up_s']:.0f} s"


def long_tasks(found: dict[str, Any]) -> str:
    """How many there were, and how long all of them."""
    return f"{found['long_tasks']}, {found['long_task_ms']:,.0f} ms" if "long_tasks" in found else "-"


# What is shown of every page: its name, the bar, and the figure.
PAGES: list[Row] = [
    ("ready for typing", "≤ 500 ms", number("ready_ms", " ms")),
    ("requests before that", "≤ 20", number("requests_before")),
    ("scripts before that", "≤ 50 kB", number("script_kb_before", " kB")),
    ("requests of the whole first visit", "", number("requests")),
    ("of them, to other hosts", "none", lambda found: ", ".join(found["other_hosts"]) or "none"),
    ("over the wire", "", number("kb", " kB")),
    ("scripts of it", "", number("script_kb", " kB")),
    ("standard reply: took", "17.4 s and little more", took),
    ("frame, p95", "≤ 17 ms", number("frame_p95_ms", " ms", 1)),
    ("frame, p99", "", number("frame_p99_ms", " ms", 1)),
    ("long tasks", "0", long_tasks),
    ("browser CPU", "", number("browser_cpu_s", " s", 1)),
    ("nodes added", "≤ 2,000", number("nodes_added")),
    ("nodes removed", "", number("nodes_removed")),
    ("heap after it", "", number("heap_mb", " MB", 1)),
]
LONG: list[Row] = [
    ("replies above", "300", number("replies_above")),
    ("opened", "", number("opened_ms", " ms")),
    ("frame, p95", "≤ 34 ms", number("frame_p95_ms", " ms", 1)),
    ("frame, p99", "", number("frame_p99_ms", " ms", 1)),
    ("long tasks", "", number("long_task_ms", " ms")),
]
TERMINAL: list[Row] = [
    ("`parley --help`", "≤ 100 ms", number("help_ms", " ms")),
    ("`parley chat` asks", "≤ 500 ms", number("prompt_ms", " ms")),
]


def table(rows: list[Row], columns: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A table of Markdown, a column for each of what was measured."""
    yield f"| | bar | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 2) + "|"
    for name, bar, show in rows:
        yield f"| {name} | {bar} | {' | '.join(show(found) for found in columns.values())} |"


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    machine = found["machine"]
    busy = BUSY if machine["load_average"] > 1 else ""
    lines = [
        INTRO.format(**machine, **found["text"], busy=busy),
        *table(PAGES, found["pages"]),
        "\n## In a long conversation\n",
        "All replies of it are shown, each the standard one; one more is written below them, 400 pieces a second.\n",
        *table(LONG, {"Parley": found["long"]}),
        "\n## The terminal\n",
        *table(TERMINAL, {"Parley": found["terminal"]}),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write, or check; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when the page is not up to date")
    chosen = parser.parse_args()
    text = page(json.loads((HERE / "browser.json").read_text()))
    if chosen.check:
        stale = not PAGE.exists() or PAGE.read_text() != text
        if stale:
            print(f"{PAGE} is not what browser.json says: run benchmarks/browser_page.py", file=sys.stderr)
        return int(stale)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
