"""X26: what is not in the source: pickles, shells, code made of text, unsafe parsers. X29: no hidden doors."""

import ast
import re
import tomllib
from pathlib import Path

import parley

ROOT = Path(parley.__file__).parents[2]
SOURCE = Path(parley.__file__).parent

MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "yaml", "jsonpickle", "xml", "telnetlib", "ftplib"}
# Asserts; programs that are started by a list of arguments, by name; `random` for pauses (test_tokens looks at it).
SAID = {"S101", "S603", "S607", "S311"}
CALLS = {"eval", "exec", "compile", "__import__"}
# A shell would be needed for nothing; `create_subprocess_shell`, `os.system`, `os.popen`, and `shell=True` are one.
ATTRIBUTES = {("os", "system"), ("os", "popen"), ("asyncio", "create_subprocess_shell"), ("tempfile", "mktemp")}


def test_what_is_not_in_the_source() -> None:
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            where = f"{file.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not {each.name.partition(".")[0] for each in node.names} & MODULES, where
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in MODULES, where
            elif isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name):
                    assert node.func.id not in CALLS, where
                for given in node.keywords:
                    shell = given.arg == "shell" and not (
                        isinstance(given.value, ast.Constant) and not given.value.value
                    )
                    assert not shell, where
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in ATTRIBUTES, where


def test_the_linter_looks_for_more_of_it() -> None:
    """The security rules of ruff hold for the whole product, and what they let pass is said line by line."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in settings["select"]
    assert {each for each in settings["ignore"] if re.fullmatch(r"S\d+", each)} == SAID
    assert not any(path.startswith("src") for path in settings["per-file-ignores"])
    excused = [
        line.split("noqa:")[1].split()[0].rstrip(",")
        for file in SOURCE.rglob("*.py")
        for line in file.read_text().splitlines()
        if "# noqa: S1" in line or "# noqa: S2" in line or "# noqa: S3" in line
    ]
    assert set(excused) <= {"S104", "S105", "S110", "S112", "S310", "S324"}
