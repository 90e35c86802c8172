"""The first seed's deployment in small: a server, workers on a scripted upstream, and the page that talks to them."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from parley.core.assistant import Assistant
from parley.core.limits import Limits, Timing
from parley.models.registry import Models
from parley.models.secret import Secret
from parley.models.settings import ModelSettings
from parley.server.config import Choice
from parley.server.passwords import hash_password
from parley.testing.upstream import ScriptedUpstream
from parley.worker.worker import Worker
from tests.server.harness import DEADLINE, House, house
from tests.store.harness import Memory

KEY = "k" * 40
BEARER = {"Authorization": f"Bearer {KEY}"}
CHAT = "/api/my/parley/assistant"
STREAM = "/web/parley/parley/assistant"
ANSWERS = {"Italy": "The capital of Italy is Rome.", "France": "Paris"}
# What the seed's page knows.
KNOWN = {"output", "state", "form", "streaming"}
PIRATE = Assistant("a pirate", model="other", instructions="Talk like a pirate.")
USERS = {name: Secret(hash_password(f"{name}'s password")) for name in ("ann", "bob")}


def tokens(count: int, tag: str = "t") -> str:
    """What the scripted upstream says to ``say <count> tag=<tag>``."""
    return "".join(f"{tag}:{at:04d} " for at in range(count))


class Course:
    """A house with workers, and the seed's page."""

    def __init__(self, home: House, upstream: ScriptedUpstream) -> None:
        self.home = home
        self.upstream = upstream
        self._workers: list[tuple[asyncio.Task[None], asyncio.Event, Models]] = []

    def work(self) -> None:
        """One more worker."""
        names = ("scripted", "other")
        models = Models(tuple(ModelSettings(name=name, url=self.upstream.url, model=name) for name in names))
        runs = self.home.bench.runs(f"worker-{len(self._workers)}")
        worker = Worker(runs, models, {PIRATE.name: PIRATE}, Memory(), self.home.bench.limits)
        leave = asyncio.Event()
        self._workers.append((asyncio.create_task(worker.serve(leave, asyncio.Event())), leave, models))

    async def close(self) -> None:
        """Stop the workers."""
        for task, leave, models in self._workers:
            leave.set()
            await task
            await models.close()

    async def send(self, said: Any = "", state: str | None = None, *, path: str = CHAT, **more: Any) -> dict[str, Any]:
        """Ask as the page does; the reply has only keys that it knows."""
        headers, expect = more.pop("headers", None), more.pop("expect", 200)
        body = {"input": said, **({} if state is None else {"state": state}), **more}
        reply: dict[str, Any] = await self.home.call("POST", path, body, expect=expect, headers=headers)
        assert reply.keys() <= KNOWN, reply
        assert reply["output"]
        return reply

    async def stream(self, said: Any = "", state: str | None = None, *, path: str = STREAM, **more: Any) -> "Stream":
        """Ask as the page does of the streamer."""
        headers, expect = more.pop("headers", None), more.pop("expect", 200)
        body = {"input": said, **({} if state is None else {"state": state}), **more}
        url = path if path.startswith("http") else self.home.served[0].url + path
        async with self.home.http.post(url, json=body, headers=headers) as answer:
            assert answer.status == expect, await answer.text()
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            made = Stream()
            async with asyncio.timeout(DEADLINE):
                began = time.monotonic()
                async for chunk, _ in answer.content.iter_chunks():
                    made.chunks.append(chunk)
                made.seconds = time.monotonic() - began
        return made

    async def log_in(self, user: str = "ann") -> str:
        body = {"username": user, "password": f"{user}'s password"}
        reply = await self.home.call("POST", "/api/my/mastrogpt/login", body)
        assert reply["authenticated"] is True
        token: str = reply["token"]
        return token

    async def conversations(self, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """What the owner of the deployment has."""
        listed: list[dict[str, Any]] = (await self.home.call("GET", "/api/conversations", headers=headers))["data"]
        return listed

    async def turns(self, state: str) -> list[dict[str, Any]]:
        """What is stored, as the native protocol shows it."""
        found: list[dict[str, Any]] = (await self.home.call("GET", f"/api/conversations/{state}/turns"))["data"]
        return found


class Stream:
    """What came down a stream, as the chunks it came in, and how long that took."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.seconds = 0.0

    @property
    def objects(self) -> list[dict[str, str]]:
        """One object a line, each of a form that readers rely on."""
        found = []
        for line in b"".join(self.chunks).splitlines(keepends=True):
            assert len(line) <= 2048
            assert line.isascii()
            assert line.endswith(b"\n")
            item = json.loads(line)
            assert list(item) in ([], ["output"], ["state"])
            assert all(isinstance(value, str) and value for value in item.values())
            found.append(item)
        assert found[-1] == {}
        assert {} not in found[:-1]
        return found

    @property
    def state(self) -> str | None:
        return next((item["state"] for item in self.objects if "state" in item), None)

    @property
    def output(self) -> str:
        return "".join(item.get("output", "") for item in self.objects)


@contextlib.asynccontextmanager
async def course(*, workers: int = 1, limits: Limits | None = None, **options: Any) -> AsyncIterator[Course]:
    """The course's deployment."""
    chosen = {
        "models": (Choice("scripted"), Choice("other")),
        "assistants": (Choice(PIRATE.name, PIRATE.model),),
        "default": "scripted",
        **options,
    }
    bench = {"limits": limits, "timing": Timing(lease=2, scan=0.1)}
    upstream = ScriptedUpstream(answers=ANSWERS)
    async with upstream, house(bench_options=bench, **chosen) as home:
        made = Course(home, upstream)
        try:
            for _ in range(workers):
                made.work()
            yield made
        finally:
            await made.close()
