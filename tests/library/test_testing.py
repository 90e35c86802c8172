"""`parley.testing` as somebody else's tests use it."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from parley import ModelError
from parley.testing import Server
from tests.system.deployment import environment

CONFTEST = """
import pytest

pytest_plugins = ["parley.testing.plugin"]


@pytest.fixture(scope="session")
def parley_answers():
    return {"Italy": "Rome"}
"""
TESTS = """
import pytest
from parley import ModelError


@pytest.mark.parametrize("time", [1, 2])
def test_capitals(parley_client, time):
    assert parley_client.conversation().say("And italy?").text == "Rome"


def test_failures(parley_client, parley_server):
    with pytest.raises(ModelError):
        parley_client.conversation().say("say 9 error=3").text
    assert parley_server.asked.failed >= 1
"""


def test_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_shop.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(PARLEY_REDIS="redis://nowhere"),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


def test_a_private_server() -> None:
    async def ask(server: Server) -> str:
        async with server.async_client() as client:
            return (await (await client.conversation()).say("say 3 tag=x")).text

    with Server(answers={"Italy": "Rome"}) as server:
        with server.client() as client:
            assert client.conversation().say("Italy").text == "Rome"
            assert client.conversation().say("hello").text == "You said: hello (1 messages)"
            with pytest.raises(ModelError):
                client.conversation().say("say 9 error=3").wait()
        assert asyncio.run(ask(server)) == "x:0000 x:0001 x:0002 "
        assert server.asked.finished >= 3


def test_a_private_server_inside_an_event_loop() -> None:
    async def main() -> str:
        with Server() as server:
            async with server.async_client() as client:
                return (await (await client.conversation()).say("say 2 tag=y")).text

    assert asyncio.run(main()) == "y:0000 y:0001 "


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"workers \(from --workers\) cannot be used"):
        Server("--workers", "-1").start()
