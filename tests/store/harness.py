"""A store on a throw-away Redis, for tests."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from parley.core import ids
from parley.core.limits import Lifetimes, Limits, Timing
from parley.core.message import Message
from parley.core.turn import Private, Request
from parley.core.view import Gap, View
from parley.store.conversations import Conversations, Receipt
from parley.store.keys import Keys
from parley.store.nodes import nodes
from parley.store.runs import Claim, Grant, Runs
from parley.store.scripts import Value
from parley.wire import frames
from tests.redis_servers import running

PREFIX = "test:"


class Memory:
    """The barrier of a server that is not asked to be durable."""

    async def __call__(self, conversation: str = "") -> str:
        return "memory"


class Bench:
    """Everything a store test wants at hand. One shard, so that order is plain."""

    def __init__(self, url: str, *, limits: Limits | None = None, timing: Timing | None = None, shards: int = 1):
        self.url = url
        self.client: Any = nodes(url)
        self.server: Any = self.client  # one of the servers, to be asked anything
        self.keys = Keys(PREFIX, shards)
        self.limits = limits or Limits()
        self.timing = timing or Timing(lease=0.2)
        self.lifetimes = Lifetimes()
        self.conversations = Conversations(self.client, self.keys, self.limits, self.lifetimes, Memory())

    def runs(self, worker: str = "worker-a") -> Runs:
        return Runs(self.client, self.client, self.keys, self.timing, worker)

    async def conversation(self, **about: Any) -> str:
        from parley.core.about import About

        name = ids.conversation_id(secrets.token_bytes(16), len(self.keys.shards))
        await self.conversations.create(name, "me", About(**about))
        return name

    async def say(self, conversation: str, text: str, key: str = "", **options: Any) -> Receipt:
        turn = ids.turn_id(conversation, key or secrets.token_hex(8))
        request = Request((Message("user", text),))
        return await self.conversations.post(conversation, turn, request, Private(), **options)

    async def claim(self, runs: Runs) -> Claim:
        """The next token, new or expired, within a few seconds."""
        for _ in range(100):
            for queues in runs.together:
                claims, _ = await runs.wait(0.01, 1, queues)
                claims = claims or await runs.scan(1, queues)
                if claims:
                    return claims[0]
        raise AssertionError("no token came")

    async def take(self, runs: Runs) -> Grant:
        grant = await runs.acquire(await self.claim(runs), secrets.token_hex(8))
        assert grant is not None
        return grant

    async def append(self, runs: Runs, grant: Grant, offset: int, *texts: str, gen: int = 1) -> Any:
        pieces: list[Value] = [part for text in texts for part in ("", text)]
        args: tuple[Value, ...] = (grant.fence, grant.turn.id, gen, offset, *pieces)
        return await runs.scripts.run("append", self.keys.conversation(grant.claim.conversation), args)

    async def command(self, *command: Any) -> Any:
        """Any command, as it is."""
        return await self.server.execute_command(*command)

    async def view(self, conversation: str, view: View | None = None) -> View:
        """Bring a view up to date as a follower does: by the log, else by a snapshot."""
        view = view or View()
        entries = await self.conversations.read(conversation, view.cursor)
        if entries is None:
            view.restore(await self.conversations.snapshot(conversation, turns=10_000))
            entries = []
        for entry in entries:
            try:
                view.apply(entry.cursor, entry.previous, frames.decode_event(entry.data))
            except Gap as gap:
                raise AssertionError("a log read in one go has no gap") from gap
        return view


@contextlib.asynccontextmanager
async def bench(binary: Path | None = None, **options: Any) -> AsyncIterator[Bench]:
    """A bench on a server of its own."""
    with running(binary) as server:
        async with on(server.url, **options) as made:
            yield made


@contextlib.asynccontextmanager
async def on(url: str, **options: Any) -> AsyncIterator[Bench]:
    """A bench on servers that run; what they have is thrown away."""
    made = Bench(url, **options)
    try:
        for server in await made.client.every():
            await server.flushall()
            made.server = server
        await made.runs().prepare()
        yield made
    finally:
        await made.client.aclose()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run an asynchronous test."""
    asyncio.run(coroutine)
