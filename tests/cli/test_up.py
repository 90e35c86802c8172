"""`parley up` as a whole: what it starts, what it says, what survives, and how it goes."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.redis_servers import free_port, running
from tests.system.deployment import children, command_line


class Up:
    """A `parley up` of its own port and data directory, and its children."""

    def __init__(self, place: Path, *flags: str, **variables: str) -> None:
        self.port = free_port()
        self.place = place
        model = ("--model-url", "http://127.0.0.1:1", "--model", "nobody")
        command = [sys.executable, "-P", "-m", "parley", "up", "--port", str(self.port), "--data", str(place / "data")]
        self.process = subprocess.Popen(
            [*command, *model, *flags],
            cwd=place,
            env={"PATH": os.environ["PATH"], "HOME": str(place), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def banner(self) -> str:
        assert self.process.stdout is not None
        return "".join(self.process.stdout.readline() for _ in range(3))

    def children(self) -> dict[int, str]:
        """All descendants that live, by their command lines."""
        lines = {pid: command_line(pid) for pid in children(self.process.pid)}
        return {pid: line for pid, line in lines.items() if line}

    def child(self, part: str) -> int:
        (pid,) = [pid for pid, line in self.children().items() if part in line]
        return pid

    def ask(self, path: str) -> int:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request("GET", path)
            return link.getresponse().status
        except OSError:
            return 0
        finally:
            link.close()

    def leave(self, number: int = signal.SIGTERM) -> str:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.communicate(timeout=30)[1]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*flags: str, **variables: str) -> Up:
        started.append(Up(tmp_path, *flags, **variables))
        return started[-1]

    yield start
    for each in started:
        each.leave(signal.SIGKILL)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def test_it_says_what_it_chose_and_each_process_says_its_part(up: Callable[..., Up], tmp_path: Path) -> None:
    now = up("--serves", "2", "--workers", "2")
    banner = now.banner()
    assert f"page http://127.0.0.1:{now.port}   api http://127.0.0.1:{now.port}/v1" in banner
    assert "embedded, data in ~/data (kept)" in banner
    assert "nobody: http://127.0.0.1:1 (--model-url)" in banner
    assert "ready in " in banner
    assert now.ask("/readyz") == 200
    lines = list(now.children().values())
    assert [sum(part in line for line in lines) for part in ("parley serve", "parley work", "redis-server")] == [
        2,
        2,
        1,
    ]
    assert not (tmp_path / "data" / "redis" / "dump.rdb").exists()


def test_every_part_is_started_again(up: Callable[..., Up]) -> None:
    now = up()
    now.banner()
    for part in ("parley serve", "parley work", "redis-server", "parley.cli.fork_server"):
        before = now.child(part)
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: before not in now.children())  # type: ignore[misc]
        until(lambda part=part: [line for line in now.children().values() if part in line])  # type: ignore[misc]
    until(lambda: now.ask("/readyz") == 200)
    until(lambda: [line for line in now.children().values() if "parley work" in line])
    error = now.leave()
    assert now.process.returncode == 0
    assert error.count("ended (SIGKILL); starting it again") == 3
    assert error.count("worker 1 ended (SIGTERM)") == 1  # with what it was forked from
    assert error.count("redis-server ended; starting it again") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_clean_and_leaves_nothing_behind(up: Callable[..., Up], number: signal.Signals) -> None:
    now = up()
    now.banner()
    family = list(now.children())
    assert now.leave(number) == ""
    assert now.process.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in family)


def test_a_second_one_on_the_same_data_is_told_so(up: Callable[..., Up]) -> None:
    now = up()
    now.banner()
    error = up().process.communicate(timeout=30)[1]
    assert f"is in use by process {now.process.pid}" in error
    assert error.count("\n") == 1
    assert now.ask("/readyz") == 200


def test_a_port_in_use_is_told(up: Callable[..., Up], tmp_path: Path) -> None:
    now = up()
    now.banner()
    other = up("--port", str(now.port))
    error = other.process.communicate(timeout=30)[1]
    assert other.process.returncode == 2
    assert f"port {now.port} on 127.0.0.1 is in use" in error


def test_on_a_server_that_was_named_nothing_is_embedded(up: Callable[..., Up], tmp_path: Path) -> None:
    with running(None, "--requirepass", "s3cr3t", tcp=True) as server:
        # As the tutorial's .env has it.
        (tmp_path / ".env").write_text(f"export REDIS_URL=127.0.0.1:{server.port}\nexport REDIS_PASSWORD=s3cr3t\n")
        now = up()
        banner = now.banner()
        assert f"redis://127.0.0.1:{server.port}" in banner
        assert "s3cr3t" not in banner
        assert now.ask("/readyz") == 200
        for line in now.children().values():
            assert "redis-server" not in line
            assert "s3cr3t" not in line
        assert not (tmp_path / "data" / "redis").exists()
        assert now.leave() == ""


def test_an_access_key_is_on_no_command_line_and_in_no_environment_of_a_child(
    up: Callable[..., Up], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("s3cr3t-k3y")
    now = up("--host", "0.0.0.0", PARLEY_ACCESS_KEY_FILE=str(tmp_path / "key"))
    now.banner()
    for pid, line in now.children().items():
        assert "s3cr3t" not in line
        assert b"s3cr3t" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert now.ask("/readyz") == 200
