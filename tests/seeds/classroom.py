"""A classroom of the first course: Redis, a scripted model, and the environment its code reads."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from parley.core.limits import Lifetimes, Limits
from parley.seeds.background import Background, background
from parley.store.connect import connect
from parley.store.conversations import Conversations
from parley.store.durability import NoBarrier
from parley.store.keys import Keys
from parley.testing.upstream import ScriptedUpstream
from tests.redis_servers import Server, running
from tests.system.deployment import environment

T = TypeVar("T")

PREFIX = "msciab:"
SHARDS = 16


class Classroom:
    """What a lesson needs. `args` is what a platform would give an action."""

    def __init__(self, server: Server, upstream: ScriptedUpstream) -> None:
        self.server = server
        self.upstream = upstream
        self.variables = {
            "REDIS_URL": server.url,
            "REDIS_PREFIX": PREFIX,
            "OLLAMA_HOST": upstream.root,
            "MODEL": "scripted",
        }
        self.redis = redis.Redis.from_url(server.url)

    def command(self, *command: Any) -> Any:
        """Any command, as it is."""
        return self.redis.execute_command(*command)  # type: ignore[no-untyped-call]

    def all_keys(self) -> list[bytes]:
        """All there are."""
        found: list[bytes] = self.command("KEYS", "*")
        return found

    def args(self, **more: Any) -> dict[str, Any]:
        return {**self.variables, **more}

    def python(self, code: str, **env: str) -> str:
        """Run a program in a fresh interpreter, as a student would. Replies what it prints."""
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env=environment(**{**self.variables, **env}), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert not ran.stderr, ran.stderr
        return ran.stdout

    def store(self, work: Callable[[Conversations], Coroutine[Any, Any, T]]) -> T:
        """Use the conversations as the server does."""

        async def main() -> T:
            client = connect(self.server.url)
            keys = Keys(PREFIX, SHARDS)
            try:
                return await work(Conversations(client, keys, Limits(), Lifetimes(), NoBarrier()))
            finally:
                await client.aclose()

        return asyncio.run(main())

    def asked(self) -> list[list[tuple[str, str]]]:
        """What the model was shown, request by request."""
        return [[(each["role"], each["content"]) for each in seen.body["messages"]] for seen in self.upstream.seen]


@contextlib.contextmanager
def classroom(binary: Path | None = None, **options: Any) -> Iterator[Classroom]:
    """A classroom of one's own."""
    beside = Background()
    with running(binary, tcp=True) as server:
        upstream = ScriptedUpstream(**options)
        beside.run(upstream.__aenter__())
        made = Classroom(server, upstream)
        try:
            yield made
        finally:
            background.close()
            made.redis.close()
            beside.run(upstream.__aexit__())
            beside.close()


class Reader:
    """Whoever listens at STREAM_HOST:STREAM_PORT: takes one connection, keeps each piece the network gives it.

    Args:
        leaves: go away after the first piece.
    """

    def __init__(self, *, leaves: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._leaves = leaves
        self.pieces: list[bytes] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def args(self) -> dict[str, str]:
        """What the streamer adds; both are strings."""
        host, port = self._listener.getsockname()
        return {"STREAM_HOST": host, "STREAM_PORT": str(port)}

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        self._listener.close()
        assert not self._thread.is_alive(), "nobody ever closed the stream"

    def _read(self) -> None:
        link, _ = self._listener.accept()
        self.connections += 1
        self._listener.close()
        with link:
            while data := link.recv(2048):
                self.pieces.append(data)
                if self._leaves:
                    return


@pytest.fixture(scope="module")
def room() -> Iterator[Classroom]:
    """A classroom that the tests of a module share."""
    with classroom() as made:
        yield made


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
