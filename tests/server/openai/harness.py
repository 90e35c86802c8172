"""A whole deployment in one process, on a Redis of its own, and the official client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import openai

from parley.core.limits import Timing
from parley.models.registry import Models
from parley.models.settings import ModelSettings
from parley.server.config import Choice
from parley.testing.upstream import ScriptedUpstream
from parley.worker.worker import Worker
from tests.server.harness import House, Served, house
from tests.store.harness import Memory


class Office:
    """What a test wants at hand.

    `client` is the official one, without retries, so that what happens shows; untyped, as its unions are too wide.
    """

    def __init__(self, home: House, upstream: ScriptedUpstream) -> None:
        self.home = home
        self.upstream = upstream
        self.client: Any = self.connect()
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._models: list[Models] = []

    def connect(self, served: Served | None = None, **options: Any) -> openai.AsyncOpenAI:
        """A client of a server, the first one unless told."""
        url = (served or self.home.served[0]).url + "/v1"
        chosen: dict[str, Any] = {"api_key": "any", "max_retries": 0, "timeout": 20.0} | options
        return openai.AsyncOpenAI(base_url=url, **chosen)

    def work(self, name: str = "worker-a") -> None:
        """Start a worker. `model` can continue an answer, `fickle` can not."""
        url = self.upstream.url
        settings = (
            ModelSettings(name="model", kind="openai", url=url, model="scripted", backend="llama.cpp"),
            ModelSettings(name="fickle", kind="openai", url=url, model="scripted", recovery="regenerate"),
        )
        models = Models(settings)
        self._models.append(models)
        bench = self.home.bench
        worker = Worker(bench.runs(name), models, {}, Memory(), bench.limits)
        self._workers[name] = asyncio.create_task(worker.serve(asyncio.Event(), asyncio.Event()))

    async def kill(self, name: str = "worker-a") -> None:
        """As SIGKILL does: it says nothing more to anyone."""
        task = self._workers.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop the workers."""
        for name in list(self._workers):
            await self.kill(name)
        for models in self._models:
            await models.close()
        await self.client.close()


@contextlib.asynccontextmanager
async def office(*, workers: int = 1, servers: int = 1, **options: Any) -> AsyncIterator[Office]:
    """An office with workers."""
    bench_options = {"timing": Timing(lease=2.0, scan=0.05)}
    options = {"models": (Choice("model"), Choice("fickle")), "default": "model"} | options
    async with (
        ScriptedUpstream() as upstream,
        house(servers=servers, bench_options=bench_options, **options) as home,
    ):
        made = Office(home, upstream)
        for number in range(workers):
            made.work(f"worker-{number}")
        try:
            yield made
        finally:
            await made.close()


async def exhaust(reading: Any, found: list[Any]) -> None:
    """Read a stream to its end, keeping what came before an error."""
    async with asyncio.timeout(20):
        async for each in reading:
            found.append(each)  # noqa: PERF401 - a list made at once would be lost
