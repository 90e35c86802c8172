"""A real Redis that fails over: one primary, two replicas and three sentinels, each a process of its own."""

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.redis_servers import Server, binaries, free_port

SERVICE = "parley-test"
# How long the primary is silent until the sentinels replace it, in milliseconds: longer than a post has patience (2 s),
# and than a loaded machine takes to answer.
DOWN_AFTER = 3500


def until(condition: Callable[[], Any], seconds: float = 40.0, what: str = "") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what or condition}"
        time.sleep(0.02)


class Sentinel:
    """A sentinel process."""

    def __init__(self, binary: Path, directory: Path, primary: int, *settings: str) -> None:
        self.port = free_port()
        self._log = directory / f"sentinel-{self.port}.log"
        path = directory / f"sentinel-{self.port}.conf"
        lines = [
            f"port {self.port}",
            f'dir "{directory}"',
            f'logfile "{self._log}"',
            "bind 127.0.0.1",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
            f"sentinel failover-timeout {SERVICE} 6000",
            f"sentinel parallel-syncs {SERVICE} 2",
            *settings,
        ]
        path.write_text("\n".join(lines) + "\n")
        command = [str(binary), str(path), "--sentinel"]
        self.process = Popen(command, stdout=DEVNULL, stderr=DEVNULL)

    def answers(self) -> bool:
        """Whether it takes connections."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False

    def ask(self, *command: str) -> Any:
        """What it replies to a SENTINEL command, None while it does not."""
        try:
            with redis.Redis(port=self.port, protocol=2, socket_timeout=5, decode_responses=True) as client:
                return client.execute_command("SENTINEL", *command)
        except redis.ConnectionError:
            return None

    def about(self) -> dict[str, str]:
        """What it knows of the primary."""
        fields = self.ask("MASTER", SERVICE) or []
        return dict(zip(fields[::2], fields[1::2], strict=True))

    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


class Shape:
    """The whole of it."""

    def __init__(self, binary: Path, directory: Path, arguments: Sequence[str]) -> None:
        self.servers: list[Server] = []
        self.sentinels: list[Sentinel] = []
        self._binary, self._directory, self._arguments = binary, directory, arguments

    def start(self) -> None:
        for number in range(3):
            of = ("--replicaof", "127.0.0.1", str(self.servers[0].port)) if self.servers else ()
            home = self._directory / str(number)
            home.mkdir()
            options = ("--repl-diskless-sync-delay", "0", "--bind", "127.0.0.1", *of, *self._arguments)
            self.servers.append(Server(self._binary, home, free_port(), options))
            self.servers[-1].start()
        for _ in range(3):
            self.sentinels.append(Sentinel(self._binary, self._directory, self.servers[0].port))
        until(self.stands, what="the sentinels to know each other")

    def stands(self) -> bool:
        """Whether each sentinel knows of both replicas and of both other sentinels, and the replicas are in step."""
        known = [sentinel.about() for sentinel in self.sentinels]
        if any(about.get("num-slaves", "") < "2" or about.get("num-other-sentinels", "") < "2" for about in known):
            return False
        roles = [self.info(server) for server in self.servers]
        return [role.get("master_link_status") for role in roles].count("up") == 2

    def info(self, server: Server) -> dict[str, Any]:
        """What a server says of its replication; one that changes its role hangs up on everybody first."""
        again = Retry(ConstantBackoff(0.05), 40, supported_errors=(redis.ConnectionError,))
        with redis.Redis.from_url(f"unix://{server.socket}", protocol=2, socket_timeout=5, retry=again) as client:
            found: dict[str, Any] = client.info("replication")
            return found

    @property
    def url(self) -> str:
        """What Parley is given."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def primary(self) -> Server:
        """The server that all sentinels hold for the primary."""
        ports: set[str] = set()

        def agreed() -> bool:
            ports.clear()
            ports.update(
                (sentinel.ask("GET-MASTER-ADDR-BY-NAME", SERVICE) or ("", "?"))[1] for sentinel in self.sentinels
            )
            return len(ports) == 1 and "?" not in ports

        until(agreed, what="the sentinels to agree")
        return next(server for server in self.servers if str(server.port) in ports)

    def await_failover(self, old: Server) -> Server:
        """Wait until another server is the primary, by the word of all sentinels and its own."""
        until(lambda: self.primary is not old, what="a failover")
        new = self.primary
        until(lambda: self.info(new)["role"] == "master", what="the new primary")
        return new

    def stop(self) -> None:
        processes = [sentinel.process for sentinel in self.sentinels]
        for process in [*processes, *(server.process for server in self.servers)]:
            if process is not None and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait(20)


@contextlib.contextmanager
def watching(server: Server, *settings: str) -> Iterator[Sentinel]:
    """Run one sentinel for one server, with more lines for its file if wanted."""
    with tempfile.TemporaryDirectory(prefix="parley-ha-", ignore_cleanup_errors=True) as directory:
        sentinel = Sentinel(server.binary, Path(directory), server.port, *settings)
        try:
            until(sentinel.answers, what="the sentinel")
            yield sentinel
        finally:
            sentinel.process.kill()
            sentinel.process.wait(20)


@contextlib.contextmanager
def failing_over(*arguments: str, binary: Path | None = None) -> Iterator[Shape]:
    """Run one, with more arguments for the servers if wanted."""
    with tempfile.TemporaryDirectory(prefix="parley-ha-", ignore_cleanup_errors=True) as directory:
        chosen = binary or list(binaries().values())[-1]
        shape = Shape(chosen, Path(directory), arguments)
        try:
            shape.start()
            yield shape
        finally:
            shape.stop()
