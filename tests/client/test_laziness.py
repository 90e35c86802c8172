"""Importing Parley costs nothing until something of it is used."""

import resource
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
        ("from parley import Client, Error, Message", {"asyncio", "msgspec", "websockets"}),
        ("from parley import model", {"asyncio", "msgspec"}),
        ("import parley.testing", set()),
        ("import parley.cli.ls, parley.cli.attach, parley.cli.export", set()),
        ("import parley.client.terminal.run", {"asyncio", "msgspec", "websockets"}),
        ("import parley.client.terminal.oneshot", {"asyncio", "msgspec", "websockets"}),
        ("import parley.cli.chat", {"msgspec"}),
    ],
)
def test_only_what_is_used_is_loaded(program: str, expected: set[str]) -> None:
    assert loaded(program) == expected


def test_the_import_takes_less_than_60_ms() -> None:
    def spent(program: str) -> float:
        """Seconds of CPU, at best: the clock of a busy machine proves nothing."""
        best = 99.0
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return best

    more = spent("import parley") - spent("pass")
    print(f"import parley takes {more * 1000:.0f} ms of CPU (goal 60)")
    assert more < 0.06


def test_names_that_are_not_there_are_not_there() -> None:
    import parley
    import parley.testing

    assert "Client" in dir(parley)
    for module in (parley, parley.testing):
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            module.Nothing  # noqa: B018
