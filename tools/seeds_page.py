"""Writes docs/seeds.md: what the two seeds do, what Parley does, and the tests that show it.

    python tools/seeds_page.py            run the tests that docs/seeds.toml names, keep the outcome, write the page
    python tools/seeds_page.py --write    write the page from the outcome of the last run

A row of docs/seeds.toml has `claim`, `seed` and `ours`, one sentence each, and `tests`, each ``path::name``; a row with
`missing` says what is not there yet. `figure` is a pattern: what its group matches in what the tests print replaces
``{figure}`` in `ours`.
"""

import argparse
import contextlib
import datetime
import io
import json
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
DATA = ROOT / "docs" / "seeds.toml"
OUTCOME = ROOT / "docs" / "seeds.json"
PAGE = ROOT / "docs" / "seeds.md"

# The first letters of a row's name -> the heading of its table.
SECTIONS = {
    "A": "The stateful assistant",
    "B": "The Redis chat",
    "S": "The streamer",
    "p": "The platform, its page and its login",
    "h": "Hugging Face",
    "d": "The acceptance tests",
    "f": "What the tutorial promised to add",
}

HEAD = """\
# The two seeds, and Parley in their place

Parley grew from two teaching systems: lesson 4 of the MastroGPT course, a stateful assistant on Apache OpenServerless,
and a chat tutorial on FastAPI, Redis Streams and GPT-J. Each row is something they show to their users: what the
original was measured to do, what Parley does, and the tests that show it. A number behind a test is that of its cases.

Made by `tools/seeds_page.py` from `docs/seeds.toml` and a run of these tests; do not edit it.
"""


@dataclass(frozen=True)
class Row:
    """A line of the page."""

    name: str
    claim: str
    seed: str
    ours: str
    tests: tuple[str, ...] = ()
    missing: str = ""
    figure: str = ""

    @property
    def section(self) -> str:
        return self.name[0]


@dataclass
class Outcome:
    """What a run of the tests gave: how often each passed, and what it printed that a row asks for."""

    date: str = ""
    python: str = ""
    cases: dict[str, int] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)


class Recorder:
    """A plugin of pytest that keeps what passed, what did not, and what was printed."""

    def __init__(self) -> None:
        self.passed: dict[str, int] = {}
        self.failed: list[str] = []
        self.printed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("[")[0]
        if not report.passed:
            self.failed.append(report.nodeid)
        elif report.when == "call":
            self.passed[name] = self.passed.get(name, 0) + 1
        if report.when == "call":
            self.printed[name] = self.printed.get(name, "") + report.capstdout


def rows(text: str) -> list[Row]:
    """The rows of the data file.

    Raises:
        ValueError: one lacks something, or has too much.
    """
    return [_row(name, values) for name, values in tomllib.loads(text).items()]


def _row(name: str, values: Mapping[str, Any]) -> Row:
    try:
        made = Row(name, **{**values, "tests": tuple(values.get("tests", ()))})
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None
    if made.section not in SECTIONS:
        raise ValueError(f"{name}: there is no section for it")
    if not all((made.claim, made.seed, made.ours)) or not (made.tests or made.missing):
        raise ValueError(f"{name}: claim, seed, ours, and tests or what is missing")
    if bool(made.figure) != ("{figure}" in made.ours):
        raise ValueError(f"{name}: a figure belongs into `ours`, and needs a pattern")
    return made


def named(table: Iterable[Row]) -> list[str]:
    """Each test that the rows name, once, in their order."""
    return list(dict.fromkeys(test for row in table for test in row.tests))


def run(table: list[Row]) -> Outcome:
    """Run the tests that the rows name.

    Raises:
        SystemExit: one failed, or is not there.
    """
    recorder = Recorder()
    status = pytest.main(["-q", "--no-header", *named(table)], plugins=[recorder])
    lost = [test for test in named(table) if test not in recorder.passed]
    if status or recorder.failed or lost:
        raise SystemExit(f"failed: {recorder.failed}, not run: {lost}")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    made = Outcome(today, platform.python_version(), {test: recorder.passed[test] for test in named(table)})
    for row in table:
        if row.figure:
            printed = "".join(recorder.printed[test] for test in row.tests)
            match = re.search(row.figure, printed)
            if match is None:
                raise SystemExit(f"{row.name}: nothing printed matches {row.figure!r}:\n{printed}")
            made.figures[row.name] = match[1]
    return made


def collected(tests: Iterable[str]) -> set[str]:
    """Those of the tests that pytest finds, without their cases."""
    files = sorted({test.partition("::")[0] for test in tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", *files]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.partition("[")[0] for line in found.splitlines() if "::" in line}


def page(table: list[Row], outcome: Outcome) -> str:
    """The page.

    Raises:
        ValueError: a test was not part of the run.
    """
    out = io.StringIO()
    out.write(HEAD)
    count, cases = len(named(table)), sum(outcome.cases.get(test, 0) for test in named(table))
    out.write(f"Last run: {outcome.date}, Python {outcome.python}: {count} tests, {cases} cases, all passed.\n")
    missing = [row for row in table if row.missing]
    out.write("\n## Not there yet\n\n" + "".join(f"- **{row.name}**: {row.missing}\n" for row in missing))
    for letter, title in SECTIONS.items():
        out.write(f"\n## {title}\n\n| | what | the seed | Parley | shown by |\n|---|---|---|---|---|\n")
        for row in table:
            if row.section == letter:
                out.write(_line(row, outcome))
    return out.getvalue()


def _line(row: Row, outcome: Outcome) -> str:
    ours = row.ours.replace("{figure}", outcome.figures.get(row.name, ""))
    if row.missing:
        ours += f" **Not there yet:** {row.missing}"
    shown = "<br>".join(_test(test, outcome) for test in row.tests) or "–"
    cells = (row.name, row.claim, row.seed, ours, shown)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _test(test: str, outcome: Outcome) -> str:
    if test not in outcome.cases:
        raise ValueError(f"{test} was not part of the last run")
    cases = outcome.cases[test]
    return f"`{test}`" + (f" {cases}" if cases > 1 else "")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="only write the page, from the last run")
    table = rows(DATA.read_text())
    if not parser.parse_args().write:
        with contextlib.chdir(ROOT):
            outcome = run(table)
        OUTCOME.write_text(json.dumps(vars(outcome), indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(table, Outcome(**json.loads(OUTCOME.read_text()))))


if __name__ == "__main__":
    main()
