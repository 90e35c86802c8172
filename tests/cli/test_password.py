"""`parley password` and the table of users it is for."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from parley.cli import handoff
from parley.cli.settings import Settings, load
from parley.cli.sources import SettingsError
from parley.server.passwords import hash_password, is_hash, is_user, matches
from tests.cli.pseudo_terminal import PseudoTerminal


def piped(text: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "parley", "password"]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


def users(directory: Path, *lines: str) -> Settings:
    (directory / "parley.toml").write_text("\n".join(["[users]", *lines]))
    return load({}, {"HOME": str(directory)}, directory)


def test_a_password_from_a_pipe() -> None:
    made = piped("pässword\n")
    assert made.returncode == 0
    assert matches("pässword", made.stdout.strip())
    assert not matches("password", made.stdout.strip())
    for nothing in ("", "\n"):
        refused = piped(nothing)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == "parley: there is no password on the standard input\n"


def test_a_password_that_is_typed() -> None:
    """Twice, unseen, and the same both times."""

    async def main() -> None:
        for again, status in (("s3cret", 0), ("other", 2)):
            async with PseudoTerminal([sys.executable, "-m", "parley", "password"], dict(os.environ)) as terminal:
                await terminal.shows("Password: ")
                terminal.type("s3cret\r")
                await terminal.shows("Again: ")
                terminal.type(f"{again}\r")
                assert await terminal.exit() == status
                assert "s3cret" not in terminal.text
                if status == 0:
                    assert matches("s3cret", terminal.text.split()[-1])
                else:
                    assert "these were two passwords" in terminal.text

    asyncio.run(main())


def test_a_password_that_is_not_typed() -> None:
    async def main() -> None:
        async with PseudoTerminal([sys.executable, "-m", "parley", "password"], dict(os.environ)) as terminal:
            await terminal.shows("Password: ")
            terminal.type("\x04")
            assert await terminal.exit() == 2
            assert "parley: no password was typed" in terminal.text

    asyncio.run(main())


def test_every_hash_is_another() -> None:
    one, other = hash_password("x"), hash_password("x")
    assert one != other
    assert matches("x", one)
    assert matches("x", other)


def test_what_is_no_hash() -> None:
    good = hash_password("x")
    head, _, tail = good.rpartition("$")
    for bad in ("", "x", "hunter2", head, good + "x", good.replace("16384", "16383"), good.replace("16384", "99999999"),
                good.replace("$8$", "$0$"), f"{head}$%{tail[1:]}", good.replace("scrypt", "bcrypt")):  # fmt: skip
        assert not is_hash(bad), bad
        with pytest.raises(ValueError):
            matches("x", bad)


def test_who_can_be_a_user() -> None:
    for good in ("ann", "Ann.Lee@example.com", "日本"):
        assert is_user(good)
    for bad in ("", "a b", "a:b", "guest", "a\n", "x" * 101):
        assert not is_user(bad)


def test_users_in_the_settings(tmp_path: Path) -> None:
    kept = hash_password("x")
    found = users(tmp_path, f'ann = "{kept}"')
    assert {name: secret.reveal() for name, secret in found.users.items()} == {"ann": kept}
    assert kept not in repr(found)
    # They reach the web server's process.
    handle = handoff.write(found)
    try:
        assert handoff.read({handoff.VARIABLE: str(handle)}) == found
    finally:
        os.close(handle)
    for line, reason in (
        ('ann = "hunter2"', "that of 'ann' is not the hash of a password: make one with `parley password`"),
        (f'guest = "{kept}"', "'guest' cannot be a user's name"),
        (f'"a:b" = "{kept}"', "'a:b' cannot be a user's name"),
        ("ann = 5", "Expected `str`"),
    ):
        with pytest.raises(SettingsError) as refused:
            users(tmp_path, line)
        assert reason in str(refused.value)
        assert "hunter2" not in str(refused.value)
