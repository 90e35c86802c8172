"""The catalogue is whole, and names tests that there are."""

import importlib
import os
import re
from pathlib import Path

from tests.faults.catalogue import catalogue

ROOT = Path(__file__).parents[2]
ROWS = catalogue().fault


def test_every_fault_has_its_row() -> None:
    assert [row.id for row in ROWS] == [f"F{number:02d}" for number in range(1, len(ROWS) + 1)]
    for row in ROWS:
        assert row.tests or row.longer or row.missing, row.id
        assert row.tests or row.tier == "hand", row.id


def test_every_test_that_is_named_is_there() -> None:
    for row in ROWS:
        for test in row.tests:
            path, _, name = test.partition("::")
            assert name.startswith("test_"), test
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            assert callable(getattr(module, name, None)), test


def test_every_command_that_is_named_is_there() -> None:
    for row in ROWS:
        for path in re.findall(r"\S+\.(?:py|sh)\b", row.longer):
            assert (ROOT / path).exists(), row.longer
        for path in re.findall(r"^\./(\S+)", row.longer):
            assert os.access(ROOT / path, os.X_OK), row.longer


def test_every_figure_belongs_to_a_row() -> None:
    known = {row.id for row in ROWS}
    for path in (ROOT / "tests").rglob("*.py"):
        assert set(re.findall(r'\bfigure\("(F\d+)"', path.read_text())) <= known, path
