"""docs/seeds.md is what its tool makes of its data, names tests that exist, and leaves no row out."""

import json

import pytest
from tools.seeds_page import DATA, OUTCOME, PAGE, Outcome, collected, named, page, rows

TABLE = rows(DATA.read_text())
LAST = Outcome(**json.loads(OUTCOME.read_text()))
COUNTS = {"A": 27, "B": 42, "S": 13, "d": 15}
GOOD = 'claim="it works"\nseed="it does not"\nours="it does in {figure} s"\n'


def test_the_page_is_what_the_tool_makes() -> None:
    assert PAGE.read_text() == page(TABLE, LAST), "run python tools/seeds_page.py"


@pytest.mark.parametrize(("letter", "count"), COUNTS.items())
def test_no_row_is_left_out(letter: str, count: int) -> None:
    assert [row.name for row in TABLE if row.section == letter] == [f"{letter}{n}" for n in range(1, count + 1)]


def test_every_test_that_is_named_exists_and_was_run() -> None:
    assert set(named(TABLE)) <= collected(named(TABLE))
    assert set(named(TABLE)) == set(LAST.cases)


def test_a_test_that_is_gone_is_noticed() -> None:
    assert collected(["tests/test_seeds_page.py::test_gone"]).isdisjoint({"tests/test_seeds_page.py::test_gone"})


@pytest.mark.parametrize(
    "row",
    [
        "[X1]\n" + GOOD + 'figure="x"\ntests=["a::b"]',
        "[A1]\n" + GOOD + 'figure="x"',
        "[A1]\n" + GOOD + 'tests=["a::b"]',
        '[A1]\nclaim="it works"\nseed="it does not"\ntests=["a::b"]',
        "[A1]\n" + GOOD + 'figure="x"\ntests=["a::b"]\nsource="x"',
    ],
)
def test_a_row_that_cannot_be_used_is_named(row: str) -> None:
    with pytest.raises(ValueError, match=r"A1|X1"):
        rows(row)


def test_a_test_outside_the_run_is_not_shown_as_passed() -> None:
    table = rows("[A1]\n" + GOOD + 'figure="(x)"\ntests=["a::b"]')
    with pytest.raises(ValueError, match="not part of the last run"):
        page(table, Outcome())
    assert "it does in 5 s" in page(table, Outcome(cases={"a::b": 2}, figures={"A1": "5"}))
