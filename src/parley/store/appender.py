"""The appender: writes the replies of all turns of a worker, in one pipeline after the other to each server.

Natural batching: while one pipeline is under way, pieces gather, and the next one takes them all. The first piece of
a reply, and any piece on a quiet worker, goes out at once; else pipelines begin `GATHER` apart, so that under load
each carries many turns. Appends are idempotent by offset, so a pipeline whose fate is unknown is simply sent again.

No task and no future stands in the way of a piece: it is packed, written, and settled where its reply is read.

In a cluster each node has a pipeline of its own; a reply goes over that of the node that serves its conversation, and
changes over to another one when the node says so, or is gone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from parley.core.reply import Reply
from parley.store.cluster import Cluster
from parley.store.connect import Client
from parley.store.keys import Keys
from parley.store.link import COMMAND_TIMEOUT, Link, Refusal, code, pack
from parley.store.nodes import Nodes
from parley.store.outposts import Outposts
from parley.store.runs import Grant
from parley.store.scripts import TRANSIENT, digest, is_out_of_memory, is_passing, source

log = logging.getLogger(__name__)

# How long pieces gather at least between two pipelines of a busy worker, in seconds (docs/design/0008).
GATHER = 0.004
# How long pieces gather when the store refuses or is away.
PAUSE = 0.1

ASKING = pack(("ASKING",))
REDIRECTIONS = ("MOVED", "ASK")


class Writing:
    """A reply being written under a grant.

    Args:
        keys: those of lib/keys.lua that append needs.
        sha: what the server knows the script by.
        lost: called once when the turn turns out not to be ours any more.
    """

    __slots__ = ("grant", "held", "key", "lost", "pipeline", "prefix", "reply", "rest", "under_way")

    def __init__(self, grant: Grant, reply: Reply, keys: list[bytes], sha: str, lost: Callable[[], None]) -> None:
        self.grant = grant
        self.reply = reply
        self.lost = lost
        self.key = keys[0]
        self.pipeline: Pipeline  # over which it goes now
        self.held = False  # rewinding or ending: the appender keeps off
        self.under_way = False  # a pipeline with a piece of it has not come back
        self.rest: asyncio.Future[None] | None = None  # who waits until none is
        # The arguments that never change, packed once.
        self.prefix = packed("EVALSHA", sha, len(keys), *keys, grant.fence, grant.turn.id)

    def command(self) -> bytes | None:
        """The command that appends what the log does not have yet, if there is anything."""
        reply = self.reply
        if self.held or self.under_way or not (runs := reply.unsent()):
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

    def __init__(self, client: Nodes, keys: Keys) -> None:
        self.clustered = client.clustered
        self._nodes = client
        self._keys = keys
        self._sha = digest("append", clustered=client.clustered)
        script = source("append", clustered=client.clustered)
        self.pipelines = Outposts(client, lambda server: Pipeline(server, self, script))

    def write(self, grant: Grant, reply: Reply, lost: Callable[[], None]) -> Writing:
        """Begin to write a reply."""
        writing = Writing(grant, reply, self._keys.appended(grant.claim.conversation), self._sha, lost)
        writing.pipeline = self.pipelines.of(writing.key)
        return writing

    def notify(self, writing: Writing) -> None:
        """The reply has grown."""
        writing.pipeline.notify(writing)

    async def hold(self, writing: Writing) -> None:
        """Keep off the reply from now on; returns when nothing of it is under way."""
        writing.held = True
        writing.pipeline.drop(writing)
        if writing.under_way:
            writing.rest = asyncio.get_running_loop().create_future()
            await writing.rest

    def release(self, writing: Writing) -> None:
        """Take the reply up again."""
        writing.held = False
        if writing.reply.unsent():
            self.notify(writing)

    async def run(self) -> None:
        """Hold the links, for ever."""
        await self.pipelines.run()

    def redirect(self, writing: Writing, message: str, asked: Client) -> None:
        """A node says that another one has the conversation: for good (MOVED), or for this once (ASK)."""
        assert isinstance(self._nodes, Cluster)
        other = self.pipelines.at(self._nodes.redirected(message, asked))
        if message.startswith("MOVED"):
            writing.pipeline = other
            other.notify(writing)
        else:
            other.ask(writing)


class Pipeline:
    """Carries replies to one server."""

    def __init__(self, client: Client, appender: Appender, script: str) -> None:
        self._client = client
        self._appender = appender
        self._script = script
        self._dirty: dict[Writing, None] = {}
        self._asking: set[Writing] = set()  # those of them that another node serves, and sent here for once
        self._link: Link | None = None
        self._flight: deque[Writing | None] = deque()  # of what is under way, in its order; None: SCRIPT LOAD, ASKING
        self._unknown = True  # the server is to be told the script
        self._refused = False  # a reply of it said: not now
        self._over = False  # the server is none of ours any more
        self._began = 0.0  # when the last pipeline was sent
        self._timer: asyncio.Handle | None = None

    def notify(self, writing: Writing) -> None:
        """The reply has grown."""
        self._dirty[writing] = None
        if self._link is None or self._flight:
            if self._over:
                self._rehome()
            return
        if not writing.reply.sent:
            self._flush()
        elif self._timer is None:
            self._schedule(GATHER)

    def drop(self, writing: Writing) -> None:
        """Send nothing of a reply."""
        self._dirty.pop(writing, None)

    def ask(self, writing: Writing) -> None:
        """Send what a reply has to a node that does not serve it yet."""
        self._asking.add(writing)
        self.notify(writing)

    async def run(self) -> None:
        """Hold the link, as long as the server is one of ours; makes it anew when it is lost."""
        try:
            while True:
                try:
                    self._link = await Link.open(self._client, self._settle_next)
                except TRANSIENT:
                    if self._leave():
                        return
                    await asyncio.sleep(PAUSE)
                    continue
                self._flush()
                await self._watch(self._link)
                self._link = None
                self._abandon()
                await asyncio.sleep(PAUSE)
                if self._leave():
                    return
        finally:
            if self._link is not None:
                self._link.cut()
            self._link = None
            self._abandon()

    def _leave(self) -> bool:
        """Without a link: have what other servers serve by now go there. Tells whether this one is to be left."""
        self._over = self._appender.pipelines.deserted(self._client)
        self._rehome()
        return self._over

    def _rehome(self) -> None:
        for writing in list(self._dirty):
            home = self._appender.pipelines.of(writing.key)
            if home is not self:
                del self._dirty[writing]
                writing.pipeline = home
                home.notify(writing)

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
        self._asking.clear()
        self._unknown = True

    def _schedule(self, seconds: float) -> None:
        """Flush so many seconds behind the last pipeline."""
        loop = asyncio.get_running_loop()
        if (wait := self._began + seconds - loop.time()) > 0:
            self._timer = loop.call_later(wait, self._flush)
        else:
            # Behind all whose readers woke in this round of the loop (models.beat).
            self._timer = loop.call_soon(self._flush)

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
                if writing in self._asking:
                    self._asking.discard(writing)
                    commands.append(ASKING)
                    self._flight.append(None)
                commands.append(command)
                writing.under_way = True
                self._flight.append(writing)
        self._dirty.clear()
        if commands:
            if self._unknown:
                self._unknown = False
                commands.insert(0, pack(("SCRIPT", "LOAD", self._script)))
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
        elif code(reason) in REDIRECTIONS and self._appender.clustered:
            if not writing.held:
                self._appender.redirect(writing, reason, self._client)
            return
        elif is_passing(reason) or is_out_of_memory(reason):
            self._refused = True
        else:
            log.error("append refused in %s: %s", writing.grant.claim.conversation, reason)
            writing.held = True
            writing.lost()
            return
        self._again(writing)

    def _again(self, writing: Writing) -> None:
        if writing.held:
            return
        if writing.pipeline is self:
            self._dirty[writing] = None
        else:
            writing.pipeline.notify(writing)
