"""Importing Parley costs nothing until something of it is used."""

import subprocess
import sys

import pytest

HEAVY = ("asyncio", "msgspec", "websockets", "aiohttp", "prompt_toolkit", "rich", "redis", "starlette")


def loaded(program: str) -> set[str]:
    """Which of the heavy modules a program has loaded in the end."""
    code = f"import sys\n{program}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(answer.stdout.split())


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import parley; parley.__version__", set()),
        ("import parley.client", set()),
        ("from parley import AsyncClient", {"asyncio", "msgspec", "websockets"}),
        ("import parley.client.terminal.run", {"asyncio", "msgspec", "websockets"}),
        ("import parley.client.terminal.oneshot", {"asyncio", "msgspec", "websockets"}),
        ("import parley.cli.chat", {"msgspec"}),
    ],
)
def test_only_what_is_used_is_loaded(program: str, expected: set[str]) -> None:
    assert loaded(program) == expected


def test_names_that_are_not_there_are_not_there() -> None:
    import parley
    import parley.client

    for module in (parley, parley.client):
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            module.Nothing  # noqa: B018
