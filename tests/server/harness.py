"""Real servers on a throw-away Redis, and real clients of theirs."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed

from parley.models.secret import Secret
from parley.server import run
from parley.server.config import Config, Store
from parley.store.connect import Client, connect
from parley.store.runs import Grant
from parley.store.sessions import Sessions
from tests.redis_servers import Server, running
from tests.store.harness import Bench

DEADLINE = 30.0


class Served:
    """A server that runs in this process."""

    def __init__(self, server: run.Server, port: int, task: "asyncio.Task[None]") -> None:
        self.server = server
        self.port = port
        self.task = task
        self.url = f"http://127.0.0.1:{port}"
        self.socket_url = f"ws://127.0.0.1:{port}/api/socket"


class House:
    """A Redis, a bench (store and worker's side), servers, and an HTTP client."""

    def __init__(self, bench: Bench, http: aiohttp.ClientSession, redis_server: Server | None = None) -> None:
        self.bench = bench
        self._redis = redis_server
        self.http = http
        self.served: list[Served] = []
        self._clients: list[Client] = []

    @property
    def redis(self) -> Server:
        """The Redis below it all."""
        assert self._redis is not None
        return self._redis

    async def serve(self, **options: Any) -> Served:
        """One more server."""
        if isinstance(options.get("access_key"), str):
            options["access_key"] = Secret(options["access_key"])
        config = Config(port=0, limits=self.bench.limits, lifetimes=self.bench.lifetimes, **options)
        client = connect(self.bench.url)
        self._clients.append(client)
        sessions = Sessions(client, self.bench.keys, self.bench.lifetimes)
        store = Store(client, self.bench.keys, self.bench.conversations, sessions)
        server = run.make(config, store)
        listener = run.listen(config)
        task = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started or task.done())
        self.served.append(Served(server, listener.getsockname()[1], task))
        return self.served[-1]

    async def close(self) -> None:
        """Stop every server."""
        for served in self.served:
            if not served.task.done():
                served.server.go()
        for served in self.served:
            await asyncio.wait_for(served.task, DEADLINE)
        for client in self._clients:
            await client.aclose()

    async def call(self, method: str, path: str, body: Any = None, *, expect: int = 200, **options: Any) -> Any:
        """Ask the first server; checks the status and the headers every answer has, replies the JSON."""
        url = path if path.startswith("http") else self.served[0].url + path
        if body is not None:
            options["json"] = body
        async with self.http.request(method, url, **options) as answer:
            data = await answer.read()
            assert answer.status == expect, (answer.status, data[:300])
            assert len(answer.headers["x-request-id"]) == 16
            assert answer.headers["x-content-type-options"] == "nosniff"
            return json.loads(data) if data else None

    async def conversation(self, **about: Any) -> str:
        """A new conversation, made over HTTP."""
        made = await self.call("POST", "/api/conversations", about, expect=201)
        name: str = made["id"]
        return name

    async def say(self, conversation: str, text: str, **more: Any) -> dict[str, Any]:
        """Say something over HTTP."""
        path = f"/api/conversations/{conversation}/turns"
        found: dict[str, Any] = await self.call("POST", path, {"input": text, **more}, expect=202)
        return found

    async def answer(self, *texts: str) -> Grant:
        """Be the worker of the next turn."""
        runs = self.bench.runs()
        grant = await self.bench.take(runs)
        offset = 0
        for text in texts:
            await self.bench.append(runs, grant, offset, text)
            offset += len(text.encode())
        await runs.final(grant, 1, offset, "completed", b"", [])
        return grant

    @contextlib.asynccontextmanager
    async def socket(self, served: Served | None = None, **options: Any) -> AsyncIterator["Line"]:
        """A socket to a server, the first one unless told."""
        url = (served or self.served[0]).socket_url
        async with websockets.asyncio.client.connect(url, proxy=None, **options) as link:
            yield Line(link)

    @contextlib.asynccontextmanager
    async def events(self, path: str, *, method: str = "GET", **options: Any) -> AsyncIterator["Events"]:
        """Server-sent events."""
        url = path if path.startswith("http") else self.served[0].url + path
        async with self.http.request(method, url, **options) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Events(answer)


class Line:
    """One socket of a client; frames are read one by one."""

    def __init__(self, link: websockets.asyncio.client.ClientConnection) -> None:
        self.link = link

    async def send(self, **fields: Any) -> None:
        await self.link.send(json.dumps(fields))

    async def frame(self) -> dict[str, Any]:
        """The next frame that is not a ping."""
        while True:
            async with asyncio.timeout(DEADLINE):
                found: dict[str, Any] = json.loads(await self.link.recv())
            if found["type"] != "ping":
                return found

    async def expect(self, kind: str) -> dict[str, Any]:
        """The next frame, which must be of a kind."""
        found = await self.frame()
        assert found["type"] == kind, found
        return found

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """The frames up to one of a kind, with it."""
        found = [await self.frame()]
        while found[-1]["type"] != kind:
            found.append(await self.frame())
        return found

    async def closed(self) -> int:
        """The code the server closes with, whatever it sends before."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(DEADLINE):
                while True:
                    await self.link.recv()
        code = self.link.close_code
        assert code is not None
        return code


class Events:
    """Server-sent events of one response."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.comments = 0
        self.retry = 0
        self.last = ""

    async def event(self) -> dict[str, Any] | None:
        """The next event; None when the stream has ended as it should."""
        fields: dict[str, str] = {}
        while True:
            async with asyncio.timeout(DEADLINE):
                line = (await self.answer.content.readline()).decode()
            if not line:
                return None
            name, _, value = line.rstrip("\n").partition(":")
            if not name and value:
                self.comments += 1
            elif name == "retry":
                self.retry = int(value)
            elif name:
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                found: dict[str, Any] = json.loads(fields["data"])
                assert fields["event"] == found["type"]
                assert fields.get("id", "") == found.get("cursor", "")
                self.last = fields.get("id", self.last)
                return found
            else:
                fields = {}

    async def all(self) -> list[dict[str, Any]]:
        """Every event up to the end of the stream."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found


async def until(condition: Callable[[], Any], seconds: float = DEADLINE) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def house(
    *, servers: int = 1, bench_options: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[House]:
    """A house with servers of these settings."""
    with running() as redis_server:
        bench = Bench(redis_server.url, **(bench_options or {}))
        await bench.runs().prepare()
        async with aiohttp.ClientSession() as http:
            made = House(bench, http, redis_server)
            try:
                for _ in range(servers):
                    await made.serve(**options)
                yield made
            finally:
                await made.close()
                await bench.client.aclose()


def text_of(frames: list[dict[str, Any]]) -> str:
    """The text of the deltas among frames, which must join."""
    text = ""
    for frame in frames:
        if frame["type"] == "delta":
            assert frame["offset"] == len(text.encode())
            text += frame["text"]
    return text
