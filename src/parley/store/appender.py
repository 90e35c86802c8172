"""The appender: writes the replies of all turns of a worker, in one pipeline after the other.

Natural batching: while one pipeline is under way, pieces gather, and the next one takes them all. A first piece on
a quiet worker goes out at once; under load each round trip carries more. Appends are idempotent by offset, so a
pipeline whose fate is unknown is simply sent again.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis.exceptions import NoScriptError, ResponseError

from parley.core.reply import Reply
from parley.store.keys import Keys
from parley.store.runs import Grant
from parley.store.scripts import PASSING, TRANSIENT, digest, is_out_of_memory, source

log = logging.getLogger(__name__)

# How long pieces gather when the store refuses or is away.
PAUSE = 0.1


class Writing:
    """A reply being written under a grant.

    Args:
        lost: called once when the turn turns out not to be ours any more.
    """

    def __init__(self, grant: Grant, reply: Reply, keys: list[bytes], lost: Callable[[], None]) -> None:
        self.grant = grant
        self.reply = reply
        self.keys = keys
        self.lost = lost
        self.held = False  # rewinding or ending: the appender keeps off
        self.rest = asyncio.Event()
        self.rest.set()


class Appender:
    """Appends what replies have gathered; one for all turns of a worker."""

    def __init__(self, client: "redis.asyncio.Redis", keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._dirty: dict[Writing, None] = {}
        self._news = asyncio.Event()

    def write(self, grant: Grant, reply: Reply, lost: Callable[[], None]) -> Writing:
        """Begin to write a reply."""
        return Writing(grant, reply, self._keys.conversation(grant.claim.conversation), lost)

    def notify(self, writing: Writing) -> None:
        """The reply has grown."""
        self._dirty[writing] = None
        self._news.set()

    async def hold(self, writing: Writing) -> None:
        """Keep off the reply from now on; returns when nothing of it is under way."""
        writing.held = True
        self._dirty.pop(writing, None)
        await writing.rest.wait()

    def release(self, writing: Writing) -> None:
        """Take the reply up again."""
        writing.held = False
        if writing.reply.unsent():
            self.notify(writing)

    async def run(self) -> None:
        """Write, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._dirty = list(self._dirty), {}
            if not await self._append(batch):
                await asyncio.sleep(PAUSE)

    async def _append(self, batch: list[Writing]) -> bool:
        """Send one pipeline; False when the store refused or is away."""
        pipe = self._client.pipeline(transaction=False)
        sent: list[Writing] = []
        for writing in batch:
            runs = writing.reply.unsent()
            if not runs or writing.held:
                continue
            grant, reply = writing.grant, writing.reply
            args: list[Any] = [grant.fence, grant.turn.id, reply.generation, reply.sent]
            for letter, run in runs:
                args += (letter, run)
            pipe.evalsha(digest("append"), len(writing.keys), *writing.keys, *args)
            writing.rest.clear()
            sent.append(writing)
        if not sent:
            return True
        try:
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        except TRANSIENT as error:
            answers = [error] * len(sent)
        finally:
            for writing in sent:
                writing.rest.set()
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._load()
        settled = [self._settle(writing, answer) for writing, answer in zip(sent, answers, strict=True)]
        return all(settled)

    def _settle(self, writing: Writing, answer: Any) -> bool:
        reply = writing.reply
        if isinstance(answer, Exception):
            if isinstance(answer, ResponseError) and not isinstance(answer, (*TRANSIENT, NoScriptError)):
                passing = str(answer).startswith(PASSING)
                if not passing and not is_out_of_memory(answer):
                    log.error("append refused in %s: %s", writing.grant.claim.conversation, answer)
                    writing.held = True
                    writing.lost()
                    return True
            self._again(writing)
            return isinstance(answer, NoScriptError)
        if answer[0] == b"FENCED" or (answer[0] == b"OFFSET" and int(answer[1]) > reply.length):
            writing.held = True
            writing.lost()
            return True
        reply.sent = int(answer[1])
        if reply.sent < reply.length:
            self._again(writing)
        return True

    def _again(self, writing: Writing) -> None:
        if not writing.held:
            self.notify(writing)

    async def _load(self) -> None:
        try:
            await self._client.script_load(source("append"))
        except TRANSIENT:
            return
