"""A whole Parley as its users run it: ``parley up`` with its children, and ways to hurt them."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.redis_servers import free_port

PARLEY = (sys.executable, "-m", "parley")
CLEAN = ("PARLEY_", "REDIS_", "OLLAMA_", "OPENAI_", "MODEL_URL", "HUGGINFACE", "HF_TOKEN", "APP_ENV", "AUTH")


def environment(**more: str) -> dict[str, str]:
    """This environment without what would configure Parley."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CLEAN)}
    return kept | {"PYTHONUNBUFFERED": "1"} | more


def until(condition: Callable[[], bool], seconds: float = 20.0, what: str = "") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what or condition}"
        time.sleep(0.005)


def children(pid: int) -> list[int]:
    """All descendants of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(child), *children(int(child))]
    return found


def command_line(pid: int) -> str:
    """How a process was called; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


class Process:
    """A command under way, with what it prints kept in a file."""

    def __init__(self, command: Sequence[str], log: Path, env: dict[str, str]) -> None:
        self.log = log
        self._before = len(self.said()) if log.exists() else 0  # of others that said it there
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env, cwd=log.parent
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def parts(self, part: str) -> list[int]:
        """The living descendants whose command line says this part: serve, work, redis-server, model-server."""
        wanted = part if part == "redis-server" else f"parley {part}"
        return [pid for pid in children(self.pid) if wanted in command_line(pid)]

    def kill(self, number: int = signal.SIGKILL, seconds: float = 20.0) -> int:
        """Signal it and wait for its end. Replies its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, env: dict[str, str]) -> Iterator[Process]:
    """Run a command; it and its descendants are gone when the block ends."""
    process = Process(command, log, env)
    try:
        yield process
    finally:
        family = children(process.pid)
        if process.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.kill(signal.SIGTERM, 15)
        if process.process.poll() is None:
            process.kill()
        for pid in family:
            with contextlib.suppress(OSError):
                if command_line(pid):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def upstream(directory: Path, *arguments: str) -> Iterator[str]:
    """A scripted upstream in a process of its own; gives its base URL."""
    command = [sys.executable, "-m", "parley.testing.upstream", *arguments]
    with running(command, directory / "upstream.log", environment()) as process:
        until(lambda: "ready " in process.said(), 60, "the scripted upstream")
        yield process.said().split("ready ")[1].split()[0]


class Deployment(Process):
    """``parley up``."""

    def __init__(self, directory: Path, *arguments: str, **env: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [*PARLEY, "up", "--port", str(self.port), "--data", str(directory / "data"), *arguments]
        super().__init__(command, directory / "up.log", environment(**env))

    def await_ready(self, seconds: float = 30.0) -> float:
        """Wait until it serves and all parts are there. Replies the seconds it took from now."""
        began = time.monotonic()

        def ready() -> bool:
            assert self.process.poll() is None, f"parley up ended: {self.said()}"
            if "ready in " not in self.said()[self._before :]:
                return False
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return int(answer.status) == 200
            return False

        until(ready, seconds, f"parley up to be ready: {self.said()}")
        return time.monotonic() - began

    @property
    def redis_url(self) -> str:
        """The embedded server's door."""
        return f"unix://{next(self.directory.glob('data/**/redis.sock'))}"


@contextlib.contextmanager
def deployment(directory: Path, *arguments: str, **env: str) -> Iterator[Deployment]:
    """Run ``parley up`` and wait until it serves."""
    made = Deployment(directory, *arguments, **env)
    try:
        made.await_ready()
        yield made
    finally:
        family = children(made.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            made.kill(signal.SIGTERM, 15)
        if made.process.poll() is None:
            made.kill()
        for pid in family:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A directory with a short path (a unix socket's may have 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="parley-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def configuration(directory: Path, text: str) -> str:
    """Write a settings file. Replies its path."""
    path = directory / "parley.toml"
    path.write_text(text)
    return str(path)
