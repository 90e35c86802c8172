"""A stage for faults of workers: real `parley work` processes, each behind a proxy to one Redis, and a scripted model.

async with stage(lease=1.0) as s:
    one = await s.worker()
    conversation, turn = await s.say("say 40 tag=a delay=0.02")
    ...
    one.kill()
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from parley.core.limits import Timing
from parley.core.turn import Outcome
from parley.core.view import View
from parley.testing.upstream import ScriptedUpstream
from tests.faults.proxy import Proxy
from tests.redis_servers import running
from tests.store.harness import PREFIX, Bench
from tests.system.deployment import PARLEY, Process, configuration, environment, workplace
from tests.worker.test_worker import Crew

SETTINGS = """
shards = 1

[[models]]
name = "scripted"
{model}

[timing]
lease = {lease}
scan = 0.1
attempts_total = 1000
"""
SCRIPTED = 'url = "{url}"\nmodel = "scripted"\nbackend = "{backend}"'
PATIENCE = 40.0


def said(tag: str, tokens: int) -> str:
    """What the scripted model says to `say <tokens> tag=<tag>`."""
    return "".join(f"{tag}:{at:04d} " for at in range(tokens))


class Hand:
    """A worker process and its own way to Redis."""

    def __init__(self, process: Process, proxy: Proxy, name: str) -> None:
        self.process, self.proxy, self.name = process, proxy, name

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """kill -9, and reap it."""
        self.process.kill()


class Stage:
    """All of it. `bench` goes straight to Redis."""

    def __init__(self, directory: Path, bench: Bench, socket: Path, upstream: ScriptedUpstream, settings: str) -> None:
        self.bench, self.upstream = bench, upstream
        self.hands: list[Hand] = []
        self.directory = directory
        self._socket, self._settings = socket, settings
        self._open = contextlib.AsyncExitStack()
        self._eyes = Crew(bench)

    @property
    def path(self) -> str:
        """Where modules are looked for: this stage's own directory first."""
        return os.pathsep.join([str(self.directory), os.environ.get("PYTHONPATH", "")])

    async def worker(self, **env: str) -> Hand:
        """One more worker, once it asks for work."""
        proxy = await self._open.enter_async_context(Proxy(self._socket))
        name = f"hand-{len(self.hands)}"
        command = [*PARLEY, "work", "--config", self._settings, "--redis", proxy.url, "--consumer", name]
        command += ["--prefix", PREFIX, "--data", str(self.directory / "data")]
        process = Process(command, self.directory / f"{name}.log", environment(**env))
        self.hands.append(Hand(process, proxy, name))
        await until(lambda: proxy.seen["xreadgroup"] > 0, "the worker", process.said)
        return self.hands[-1]

    async def say(self, text: str, **about: Any) -> tuple[str, str]:
        """A conversation that begins with a message: its id, and the turn's."""
        conversation = await self.bench.conversation(model="scripted", **about)
        return conversation, (await self.bench.say(conversation, text)).turn

    async def text(self, conversation: str, turn: str, length: int) -> View:
        """Wait until a reply has so many bytes."""
        return await self._eyes.text(conversation, turn, length)

    async def ended(self, conversation: str, turn: str) -> View:
        """Wait until it is over; what a viewer from the beginning has seen."""
        return await self._eyes.ended(conversation, turn, seconds=PATIENCE)

    async def outcome(self, conversation: str, turn: str) -> Outcome:
        """How it ended, as it is stored."""
        return await self._eyes.outcome(conversation, turn)

    async def kinds(self, conversation: str) -> list[str]:
        """The kinds of all entries of a log, in order."""
        entries = await self.bench.conversations.read(conversation, "0-0")
        assert entries is not None
        return [entry.data.partition(b'"type":"')[2].partition(b'"')[0].decode() for entry in entries]

    async def holder(self) -> Hand:
        """Who holds the only turn that runs."""
        found: list[dict[str, Any]] = []

        async def held() -> bool:
            found[:] = await self.bench.client.xpending_range(self.bench.keys.queue("00").decode(), "w", "-", "+", 2)
            return len(found) == 1

        while not await held():
            await asyncio.sleep(0.01)
        return next(hand for hand in self.hands if hand.name.encode() == found[0]["consumer"])

    async def close(self) -> None:
        for hand in self.hands:
            with contextlib.suppress(ProcessLookupError):
                hand.process.kill()
        await self._open.aclose()


async def until(
    condition: Callable[[], bool], what: str, said: Callable[[], str] = str, seconds: float = PATIENCE
) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what} {said()}"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def stage(*, lease: float = 1.0, model: str = "", backend: str = "llama.cpp") -> AsyncIterator[Stage]:
    """A stage without workers yet.

    Args:
        model: lines of the settings file that name another model than the scripted one.
        backend: the scripted model's; one that cannot continue is "openai".
    """
    with workplace() as directory, running() as server:
        async with ScriptedUpstream(models=("scripted",)) as upstream:
            named = model or SCRIPTED.format(url=upstream.url, backend=backend)
            settings = configuration(directory, SETTINGS.format(model=named, lease=lease))
            bench = Bench(server.url, timing=Timing(lease=lease))
            made = Stage(directory, bench, server.socket, upstream, settings)
            try:
                yield made
            finally:
                await made.close()
                await bench.client.aclose()
