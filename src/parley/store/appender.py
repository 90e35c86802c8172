"""The appender: writes the replies of all turns of a worker, in one pipeline after the other.

Natural batching: while one pipeline is under way, pieces gather, and the next one takes them all. The first piece of
a reply, and any piece on a quiet worker, goes out at once; else pipelines begin `GATHER` apart, so that under load
each carries many turns. Appends are idempotent by offset, so a pipeline whose fate is unknown is simply sent again.

No task and no future stands in the way of a piece: it is packed, written, and settled where its reply is read.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import redis.asyncio

from parley.core.reply import Reply
from parley.store.keys import Keys
from parley.store.link import COMMAND_TIMEOUT, Link, Refusal, pack
from parley.store.runs import Grant
from parley.store.scripts import TRANSIENT, digest, is_out_of_memory, is_passing, source

log = logging.getLogger(__name__)

# How long pieces gather at least between two pipelines of a busy worker, in seconds (docs/design/0008).
GATHER = 0.004
# How long pieces gather when the store refuses or is away.
PAUSE = 0.1


class Writing:
    """A reply being written under a grant.

    Args:
        keys: those of lib/keys.lua that append needs.
        lost: called once when the turn turns out not to be ours any more.
    """

    __slots__ = ("grant", "held", "lost", "prefix", "reply", "rest", "under_way")

    def __init__(self, grant: Grant, reply: Reply, keys: list[bytes], lost: Callable[[], None]) -> None:
        self.grant = grant
        self.reply = reply
        self.lost = lost
        self.held = False  # rewinding or ending: the appender keeps off
        self.under_way = False  # a pipeline with a piece of it has not come back
        self.rest: asyncio.Future[None] | None = None  # who waits until none is
        # The arguments that never change, packed once.
        self.prefix = packed("EVALSHA", digest("append"), len(keys), *keys, grant.fence, grant.turn.id)

    def command(self) -> bytes | None:
        """The command that appends what the log does not have yet, if there is anything."""
        reply = self.reply
        if self.held or not (runs := reply.unsent()):
            return None
        count, prefix = self.prefix
        where = b"%d\r\n$%d\r\n%d\r\n" % (reply.generation, len(str(reply.sent)), reply.sent)
        command = b"*%d\r\n%b$%d\r\n%b" % (count + 2 + 2 * len(runs), prefix, len(str(reply.generation)), where)
        for letter, run in runs:
            command += b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(letter), letter.encode(), len(run), run)
        return command

    def settled(self) -> None:
        """No pipeline with a piece of it is under way any more."""
        self.under_way = False
        if self.rest is not None and not self.rest.done():
            self.rest.set_result(None)


def packed(*parts: bytes | str | int) -> tuple[int, bytes]:
    """How many parts of a command these are, and they as they go over the connection."""
    return len(parts), pack(parts).partition(b"\r\n")[2]


class Appender:
    """Appends what replies have gathered; one for all turns of a worker."""

    def __init__(self, client: "redis.asyncio.Redis", keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._dirty: dict[Writing, None] = {}
        self._link: Link | None = None
        self._flight: deque[Writing | None] = deque()  # of the pipeline under way, in its order; None: SCRIPT LOAD
        self._unknown = True  # the server is to be told the script
        self._refused = False  # a reply of it said: not now
        self._began = 0.0  # when the last pipeline was sent
        self._timer: asyncio.TimerHandle | None = None

    def write(self, grant: Grant, reply: Reply, lost: Callable[[], None]) -> Writing:
        """Begin to write a reply."""
        return Writing(grant, reply, self._keys.appended(grant.claim.conversation), lost)

    def notify(self, writing: Writing) -> None:
        """The reply has grown."""
        self._dirty[writing] = None
        if self._link is None or self._flight:
            return
        if not writing.reply.sent:
            self._flush()
        elif self._timer is None:
            self._schedule(GATHER)

    async def hold(self, writing: Writing) -> None:
        """Keep off the reply from now on; returns when nothing of it is under way."""
        writing.held = True
        self._dirty.pop(writing, None)
        if writing.under_way:
            writing.rest = asyncio.get_running_loop().create_future()
            await writing.rest

    def release(self, writing: Writing) -> None:
        """Take the reply up again."""
        writing.held = False
        if writing.reply.unsent():
            self.notify(writing)

    async def run(self) -> None:
        """Hold the link, for ever; makes it anew when it is lost."""
        try:
            while True:
                try:
                    self._link = await Link.open(self._client, self._settle_next)
                except TRANSIENT:
                    await asyncio.sleep(PAUSE)
                    continue
                self._flush()
                await self._watch(self._link)
                self._link = None
                self._abandon()
                await asyncio.sleep(PAUSE)
        finally:
            if self._link is not None:
                self._link.cut()
            self._link = None
            self._abandon()

    async def _watch(self, link: Link) -> None:
        """Wait until the link is lost; cut one that does not answer."""
        clock = asyncio.get_running_loop().time
        while not link.lost.done():
            await asyncio.wait([link.lost], timeout=COMMAND_TIMEOUT / 5)
            if self._flight and clock() - self._began > COMMAND_TIMEOUT:
                link.cut()

    def _abandon(self) -> None:
        """What was under way has an unknown fate: it is sent again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for writing in self._flight:
            if writing is not None:
                writing.settled()
                self._again(writing)
        self._flight.clear()
        self._unknown = True

    def _schedule(self, seconds: float) -> None:
        """Flush so many seconds behind the last pipeline."""
        loop = asyncio.get_running_loop()
        if (wait := self._began + seconds - loop.time()) > 0:
            self._timer = loop.call_later(wait, self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        """Send one pipeline with all that has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._link is None or self._flight:
            return
        commands: list[bytes] = []
        for writing in self._dirty:
            if (command := writing.command()) is not None:
                commands.append(command)
                writing.under_way = True
                self._flight.append(writing)
        self._dirty.clear()
        if commands:
            if self._unknown:
                self._unknown = False
                commands.insert(0, pack(("SCRIPT", "LOAD", source("append"))))
                self._flight.appendleft(None)
            self._began = asyncio.get_running_loop().time()
            self._refused = False
            self._link.send(b"".join(commands))

    def _settle_next(self, answer: Any) -> None:
        """Take the reply to the next command of the pipeline under way."""
        writing = self._flight.popleft()
        if writing is not None:
            writing.settled()
            self._settle(writing, answer)
        if not self._flight and self._dirty:
            self._schedule(PAUSE if self._refused else GATHER)

    def _settle(self, writing: Writing, answer: Any) -> None:
        reply = writing.reply
        if isinstance(answer, Refusal):
            self._refuse(writing, str(answer))
        elif answer[0] == b"FENCED" or (answer[0] == b"OFFSET" and answer[1] > reply.length):
            writing.held = True
            writing.lost()
        else:
            reply.sent = answer[1]
            if reply.sent < reply.length:
                self._again(writing)

    def _refuse(self, writing: Writing, reason: str) -> None:
        """The store did not run the script."""
        if reason.startswith("NOSCRIPT"):
            self._unknown = True
        elif is_passing(reason) or is_out_of_memory(reason):
            self._refused = True
        else:
            log.error("append refused in %s: %s", writing.grant.claim.conversation, reason)
            writing.held = True
            writing.lost()
            return
        self._again(writing)

    def _again(self, writing: Writing) -> None:
        if not writing.held:
            self._dirty[writing] = None
