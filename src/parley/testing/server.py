"""A private Parley for tests: `parley up` on a free port, with a directory of its own and a scripted model.

with Server(answers={"Italy": "Rome"}) as server, server.client() as client:
    assert client.conversation().say("Italy?").text == "Rome"
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from parley.client.address import Address
from parley.client.client import AsyncClient
from parley.client.own_server import free_port, runs
from parley.client.portal import Portal
from parley.client.sync import Client
from parley.store.lifeline import die_with_parent
from parley.testing.upstream import ScriptedUpstream, Stats

POLL = 0.02
# What would configure a server, in the environment of whoever runs the tests.
FOREIGN = ("PARLEY_", "REDIS_", "OLLAMA_", "OPENAI_", "MODEL_URL", "HUGGINFACE", "HUGGINGFACE", "HF_TOKEN")


class Server:
    """A server of one's own, its Redis and a worker: real ones, told by a scripted model what to say.

    A message that contains a word of `answers` is answered with its text; ``say 40 tag=abc delay=0.01`` and its kin
    (`parley.testing.script`) with so many tokens and faults; any other with ``You said: ...``.

    Args:
        answers: what to say to a message that contains one of these words, in whatever case.
        arguments: more of the command line of `parley up`.

    Attributes:
        url: where it serves, while the block lasts.
    """

    def __init__(self, *arguments: str, answers: Mapping[str, str] | None = None) -> None:
        self.url = ""
        self._arguments = arguments
        self._model = _Model(answers or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = Path()

    def client(self, token: str | None = None) -> Client:
        """A client of it."""
        return Client(self.url, token)

    def async_client(self, token: str | None = None) -> AsyncClient:
        """A client of it, for an event loop."""
        return AsyncClient(self.url, token)

    @property
    def data(self) -> Path:
        """The directory it keeps its data in, while the block lasts."""
        return self._directory / "data"

    @property
    def asked(self) -> Stats:
        """What the model was asked so far."""
        return self._model.upstream.stats

    def start(self, seconds: float = 60.0) -> None:
        """Start it and wait until it serves.

        Raises:
            RuntimeError: it ends, or does not serve so soon; with what it said.
        """
        self._directory = Path(tempfile.mkdtemp(prefix="parley-"))  # short: a unix socket's path has 107 bytes
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        try:
            model = ("--model-url", self._model.start(), "--model", "scripted")
            self._spawn("--port", str(port), "--data", str(self.data), *model, *self._arguments)
            # In a loop of its own: the test may be running in one.
            portal = Portal()
            try:
                portal.call(self._await_ready(seconds))
            finally:
                portal.close()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it and forget what was said."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._model.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _await_ready(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not await runs(Address(self.url)):
            if time.monotonic() > until or self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"parley up does not serve: {self._said()}")
            await asyncio.sleep(POLL)

    def _spawn(self, *arguments: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        with (self._directory / "log").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "parley", "up", *arguments],
                cwd=self._directory,
                env=kept,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def _said(self) -> str:
        with contextlib.suppress(OSError):
            return (self._directory / "log").read_text(errors="replace").strip() or "it said nothing"
        return "it said nothing"


class _Model:
    """The scripted model in a thread of its own."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.upstream = ScriptedUpstream(answers=answers, models=("scripted",))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted model", daemon=True)

    def start(self) -> str:
        """Start it; its URL."""
        self._thread.start()
        self._ready.wait()
        return self.upstream.url

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.upstream:
            self._ready.set()
            await self._stop.wait()
