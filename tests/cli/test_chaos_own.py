"""`parley chaos` on what is the user's own: a Redis, or a whole Parley that he kills himself."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from parley.bench.installation import free_port, installation
from parley.bench.processes import part
from parley.cli.main import main
from tests.redis_servers import running
from tests.system.deployment import environment, until

PARLEY = (sys.executable, "-P", "-m", "parley", "chaos", "--conversations", "3", "--json")
CLEAN = {"lost": 0, "repeated": 0, "out_of_order": 0, "wrong": 0, "left": 0}


@pytest.mark.timeout(180)
def test_a_redis_of_yours_is_used_and_left_as_it_was() -> None:
    with running() as server:
        client = redis.Redis.from_url(server.url)
        client.set("chaosx:mine", "stays")
        words = ("--redis", server.url, "--duration", "3", "--workers", "2", "--servers", "1")
        done = subprocess.run([*PARLEY, *words], capture_output=True, text=True, env=environment(), timeout=170)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert {name: found[name] for name in CLEAN} == CLEAN
        assert found["answered"] == found["accepted"] >= 3
        assert "work" in found["hurt"]
        assert "redis" not in found["hurt"]
        assert client.keys() == [b"chaosx:mine"]
        client.set("chaos:theirs", "stays too")
        refused = subprocess.run([*PARLEY, *words], capture_output=True, text=True, env=environment(), timeout=60)
        assert refused.returncode == 1
        assert "1 keys begin with 'chaos:' there already: choose another --prefix" in refused.stderr
        assert set(client.keys()) == {b"chaosx:mine", b"chaos:theirs"}
        client.close()


@pytest.mark.timeout(180)
def test_a_parley_of_yours_is_watched_while_you_kill_it(tmp_path: Path) -> None:
    port = free_port()
    table = (
        f'[[models]]\nname = "chaos"\nurl = "http://127.0.0.1:{port}/v1"\nmodel = "scripted"\nbackend = "llama.cpp"\n'
    )
    (tmp_path / "parley.toml").write_text(table)

    async def watch() -> tuple[int, dict[str, Any], list[Any]]:
        async with installation("--config", str(tmp_path / "parley.toml"), "--workers", "2") as server:
            words = ("--url", server.url, "--model-port", str(port), "--duration", "12")
            process = subprocess.Popen([*PARLEY, *words], stdout=subprocess.PIPE, env=environment(), text=True)
            assert server.data is not None
            client = redis.Redis(unix_socket_path=str(server.data / "redis" / "redis.sock"))
            try:
                # Both hold something: somebody is killed who writes.
                held = lambda: sum(pending(client).values()) >= 2 and len(pending(client)) == 2  # noqa: E731
                await asyncio.to_thread(until, held, 60, "replies under way")
                os.kill(next(pid for pid in server.pids if part(pid) == "worker"), signal.SIGKILL)
                out, _ = await asyncio.to_thread(process.communicate, timeout=110)
            finally:
                process.kill()
                client.close()
            asked = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "parley", "ls", "--json", "--url", server.url),
                stdout=asyncio.subprocess.PIPE,
                env=environment(),
            )
            left, _ = await asked.communicate()
            return process.returncode, json.loads(out), json.loads(left or b"[]")

    status, found, left = asyncio.run(watch())
    assert status == 0, found
    assert {name: found[name] for name in CLEAN} == CLEAN
    assert found["takeovers"] >= 1
    assert (found["hurt"], left) == ({}, [])


def pending(client: "redis.Redis") -> dict[bytes, int]:
    """The replies under way, by worker."""
    found: dict[bytes, int] = {}
    for key in client.scan_iter("parley:*:queue"):
        about: Any = client.xpending(key, "w")
        for each in about["consumers"]:
            found[each["name"]] = found.get(each["name"], 0) + each["pending"]
    return found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--url", "http://127.0.0.1:1", "--redis", "redis://x"), "--redis is for a private Parley"),
        (("--redis", "redis://x", "--rollbacks"), "--rollbacks needs a Redis of our own"),
        (("--redis", "redis://x", "--kill", "redis"), "is not ours to kill"),
        (("--url", "http://127.0.0.1:1", "--redis-server", sys.executable), "--redis-server needs a Redis of our own"),
    ],
)
def test_what_does_not_go_together_is_told(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chaos", *words]) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_reached_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "-q", "--url", "http://127.0.0.1:1", "--model-port", str(free_port())]) == 1
    assert "http://127.0.0.1:1 cannot be reached" in capsys.readouterr().err
    assert main(["chaos", "-q", "--redis", "redis://127.0.0.1:1"]) == 1
    assert "the Redis to use cannot be used" in capsys.readouterr().err


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("seed", "fault"), [("48", "rollback"), ("12", "power")])
def test_what_redis_forgets_is_said_again(seed: str, fault: str) -> None:
    """The first fault of these seeds: Redis loses what it wrote last, alone or with everything else killed."""
    words = ("--duration", "8", "--kill", "redis", "--rollbacks", "--workers", "2", "--servers", "1", "--seed", seed)
    done = subprocess.run([*PARLEY, *words], capture_output=True, text=True, env=environment(), timeout=230)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["hurt"]["redis"][fault] >= 1
    assert found["forgotten"] >= 1
    assert {name: found[name] for name in CLEAN} == CLEAN
