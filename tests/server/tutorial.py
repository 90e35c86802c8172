"""The second seed's deployment in small: servers, Redis, workers, a scripted Hugging Face upstream, clients."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed

from parley.core.assistant import Assistant
from parley.core.limits import Limits, Timing
from parley.core.window import Window
from parley.models.registry import Models
from parley.models.settings import ModelSettings
from parley.testing.upstream import ScriptedUpstream
from parley.worker.worker import Worker
from tests.server.harness import DEADLINE, House, Served, house
from tests.store.harness import Memory

MODEL_PATH = "/models/EleutherAI/gpt-j-6B"
ASSISTANTS = {"last four": Assistant("last four", window=Window(last=4, tokens=0))}


class Tab:
    """One socket at /chat, read frame by frame."""

    def __init__(self, link: websockets.asyncio.client.ClientConnection) -> None:
        self.link = link

    async def say(self, text: str) -> None:
        await self.link.send(text)

    async def frame(self) -> dict[str, Any]:
        """The next frame, which must be JSON of the seed's keys."""
        async with asyncio.timeout(DEADLINE):
            frame: dict[str, Any] = json.loads(await self.link.recv())
        assert {"id", "msg", "timestamp"} <= frame.keys() <= {"id", "msg", "timestamp", "error"}, frame
        return frame

    async def frames(self, count: int) -> list[dict[str, Any]]:
        return [await self.frame() for _ in range(count)]

    async def ask(self, text: str) -> str:
        """Say something and wait for the reply."""
        await self.say(text)
        frame = await self.frame()
        assert "error" not in frame, frame
        msg: str = frame["msg"]
        return msg

    async def silent(self, seconds: float = 0.3) -> None:
        """Nothing comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                raise AssertionError(await self.link.recv())

    async def closed(self) -> tuple[int, str]:
        """The code and the reason the server closes with."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(DEADLINE):
                while True:
                    await self.link.recv()
        assert self.link.close_code is not None
        return self.link.close_code, self.link.close_reason or ""


class Tutorial:
    """A house with workers and the tutorial's routes at hand."""

    def __init__(self, home: House, upstream: ScriptedUpstream) -> None:
        self.home = home
        self.upstream = upstream
        self._workers: list[tuple[asyncio.Task[None], asyncio.Event, Models]] = []

    async def work(self, **settings: Any) -> None:
        """One more worker."""
        url = f"{self.upstream.root}{MODEL_PATH}"
        models = Models((ModelSettings(name="gpt-j", kind="huggingface", url=url, **settings),))
        runs = self.home.bench.runs(f"worker-{len(self._workers)}")
        worker = Worker(runs, models, ASSISTANTS, Memory(), self.home.bench.limits)
        leave = asyncio.Event()
        self._workers.append((asyncio.create_task(worker.serve(leave, asyncio.Event())), leave, models))

    async def close(self) -> None:
        """Stop the workers."""
        for task, leave, models in self._workers:
            leave.set()
            await task
            await models.close()

    async def token(self, name: str = "Bob") -> str:
        made = await self.home.call("POST", "/token", params={"name": name})
        token: str = made["token"]
        return token

    async def history(self, token: str) -> list[dict[str, Any]]:
        session = await self.home.call("GET", "/refresh_token", params={"token": token})
        messages: list[dict[str, Any]] = session["messages"]
        return messages

    async def said(self, token: str) -> list[str]:
        """What is said in a session, as the seed's clients show it."""
        return [message["msg"] for message in await self.history(token)]

    async def until_said(self, token: str, count: int) -> list[str]:
        """The same, once there is so much of it."""
        async with asyncio.timeout(DEADLINE):
            while len(found := await self.said(token)) < count:
                await asyncio.sleep(0.02)
        return found

    async def conversation(self, token: str) -> str:
        """The conversation of a session, as the native protocol knows it."""
        listed = await self.home.call("GET", "/api/conversations", headers=bearer(token))
        [one] = listed["data"]
        name: str = one["id"]
        return name

    @contextlib.asynccontextmanager
    async def tab(
        self, token: str | None, served: Served | None = None, *, after: str = "", **options: Any
    ) -> AsyncIterator[Tab]:
        """A socket of a session; None: without a token."""
        url = (served or self.home.served[0]).url.replace("http", "ws", 1) + "/chat"
        query = "" if token is None else f"?token={token}" + (f"&after={after}" if after else "")
        async with websockets.asyncio.client.connect(url + query, proxy=None, **options) as link:
            yield Tab(link)

    @contextlib.asynccontextmanager
    async def tabs(self, tokens: Sequence[str]) -> AsyncIterator[list[Tab]]:
        """A socket for each of these tokens, spread over the servers."""
        served = self.home.served
        async with contextlib.AsyncExitStack() as stack:
            opened = [self.tab(token, served[number % len(served)]) for number, token in enumerate(tokens)]
            yield [await stack.enter_async_context(tab) for tab in opened]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextlib.asynccontextmanager
async def tutorial(
    *, servers: int = 1, workers: int = 1, limits: Limits | None = None, **options: Any
) -> AsyncIterator[Tutorial]:
    """The tutorial's deployment."""
    bench = {"limits": limits, "timing": Timing(lease=2, scan=0.1)}
    async with ScriptedUpstream() as upstream, house(servers=servers, bench_options=bench, **options) as home:
        made = Tutorial(home, upstream)
        try:
            for _ in range(workers):
                await made.work()
            yield made
        finally:
            await made.close()
