"""The checklist: whole, and every test it names is there."""

import ast
import functools
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKLIST = tomllib.loads((Path(__file__).parent / "checklist.toml").read_text())
REFERENCE = ROOT / "docs" / "reference" / "security.md"


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def test_every_requirement_is_here_and_has_a_test() -> None:
    assert list(CHECKLIST) == [f"X{number:02}" for number in range(1, 35)]
    for number, row in CHECKLIST.items():
        assert set(row) <= {"must", "tests", "left"}, number
        assert row["must"].endswith("."), number
        assert row["tests"], number


def test_every_test_that_is_named_exists() -> None:
    for number, row in CHECKLIST.items():
        for named in row["tests"]:
            path, _, test = named.partition("::")
            assert (ROOT / path).is_file(), (number, path)
            assert test in names_in(ROOT / path), (number, named)


def test_the_reference_tells_what_is_left() -> None:
    text = " ".join(REFERENCE.read_text().split())
    for number, row in CHECKLIST.items():
        assert row.get("left", "") in text, number
