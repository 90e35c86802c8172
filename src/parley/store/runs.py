"""Runs: turns as workers hold them. Claim a token, acquire its turn under a fence, write, end or hand over.

The work queue of a shard is a stream with one consumer group; a token pending for a worker is its lease, renewed by
resetting its idle time, taken over by whoever finds it idle for longer than the lease.
"""

import asyncio
import random
from collections.abc import Awaitable, Iterable
from typing import Any

import msgspec
from msgspec import Struct
from redis.exceptions import ResponseError

from parley.core import ids
from parley.core.about import About
from parley.core.errors import Unavailable
from parley.core.limits import Timing
from parley.core.snapshot import Partial
from parley.core.turn import Private, Status, Turn
from parley.store.keys import GROUP, Keys
from parley.store.link import COMMAND_TIMEOUT
from parley.store.nodes import Nodes
from parley.store.scripts import TRANSIENT, Scripts, Value, is_passing, unavailable
from parley.wire import record

_about = msgspec.json.Decoder(About)

# Tries of a worker that still may be needed to end a turn when the store is away for a while.
ENDING_PATIENCE = 600.0
# A worker that holds nothing and was silent for so long is gone, in seconds; one that is not comes back by itself.
FORGET_AFTER = 60.0


# Work queues, by their keys.
Queues = tuple[bytes, ...]


class Claim(Struct, frozen=True):
    """A token this worker was given: a conversation with a turn to run."""

    shard: str
    token: str
    conversation: str


class Grant(Struct, frozen=True):
    """A turn this worker owns, as long as its fence stands."""

    claim: Claim
    fence: str
    turn: Turn
    private: Private
    about: About
    partial: Partial
    attempt: int
    total: int


class Fenced(Exception):
    """The turn is not ours any more: it was stopped, deleted, or taken over."""


class IsolationDue(Exception):
    """The turn lost several workers without progress: its next attempt belongs into a process of its own."""


class NoGroup(Exception):
    """A queue or its group is not there (any more): prepare again."""


class Offset(Exception):
    """The reply ends elsewhere than we thought: at `length` bytes (the store lost what it had acknowledged)."""

    def __init__(self, length: int) -> None:
        super().__init__(str(length))
        self.length = length


class Runs:
    """The work queues of one deployment, as one worker sees them.

    Args:
        client: for commands.
        blocking: for blocking reads; has no socket timeout.
        worker: this worker's name as a consumer; unique among living workers.
    """

    def __init__(
        self,
        client: Nodes,
        blocking: Nodes,
        keys: Keys,
        timing: Timing,
        worker: str,
    ) -> None:
        self.client = client
        self.scripts = Scripts(client)
        self.keys = keys
        self.timing = timing
        self.worker = worker
        self._blocking = blocking
        self._queues = {keys.queue(shard): shard for shard in keys.shards}
        self.all: Queues = tuple(self._queues)

    @property
    def together(self) -> list[Queues]:
        """The queues by what one command can wait for: all of them, or in a cluster each one alone."""
        return [(queue,) for queue in self.all] if self.client.clustered else [self.all]

    async def prepare(self, queues: Queues = ()) -> None:
        """Make the consumer groups, from each queue's beginning: what was posted before any worker lived counts."""
        for queue in queues or self.all:
            try:
                await self.client.multiplexer.call(("XGROUP", "CREATE", queue, GROUP, "0", "MKSTREAM"))
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise _passing(error) from error

    async def wait(self, seconds: float, count: int = 1, queues: Queues = ()) -> tuple[list[Claim], bool]:
        """Wait for new tokens, at most so long and so many of each shard. Tells also whether someone called for a scan.

        Args:
            queues: those of `together` that are meant; none: all there are.

        Raises:
            NoGroup: prepare first.
            Unavailable, or one of TRANSIENT: come back in a moment.
        """
        named = queues or self.all
        block = max(1, int(seconds * 1000))
        command = ("XREADGROUP", "GROUP", GROUP, self.worker, "COUNT", count, "BLOCK", block, "STREAMS", *named)
        try:
            # A server that is cut off says nothing, and the blocking connection itself would wait for ever.
            async with asyncio.timeout(seconds + COMMAND_TIMEOUT):
                reply: Any = await self._blocking.execute(named[0], *command, *(">" for _ in named))
        except ResponseError as error:
            raise _passing(error) from error
        found: list[Claim] = []
        scan = False
        for queue, entries in reply or []:
            for token, fields in entries:
                claim = self._claim(self._queues[queue], token, fields)
                if claim:
                    found.append(claim)
                else:
                    scan = True
                    await self.scripts.run("drop", [queue], (token,))
        return found, scan

    async def scan(self, count: int, queues: Queues = ()) -> list[Claim]:
        """Take over tokens that nobody renewed for a lease; at most `count` of each shard."""
        named = random.sample(queues or self.all, len(queues or self.all))
        idle = int(self.timing.lease * 1000)
        call = self.client.multiplexer.call
        commands = (("XAUTOCLAIM", queue, GROUP, self.worker, idle, "0-0", "COUNT", count) for queue in named)
        try:
            replies = await asyncio.gather(*map(call, commands))
        except ResponseError as error:
            raise _passing(error) from error
        found: list[Claim] = []
        for queue, reply in zip(named, replies, strict=True):
            for token, fields in _claimed(reply):
                claim = self._claim(self._queues[queue], token, fields)
                if claim:
                    found.append(claim)
                else:
                    await self.scripts.run("drop", [queue], (token,))
        return found

    def _claim(self, shard: str, token: bytes, fields: dict[bytes, bytes]) -> Claim | None:
        name = fields.get(b"c")
        return Claim(shard, token.decode(), name.decode()) if name else None

    async def acquire(self, claim: Claim, fence: str, *, isolate: bool = False, heir_of: str = "") -> Grant | None:
        """Take the turn a token stands for; None when there is nothing to do.

        Args:
            isolate: rather than make an attempt that should be isolated, say so.
            heir_of: the worker this one may take the token over from.

        Raises:
            IsolationDue: nothing was done, the token stays with this worker.
            Unavailable: the store is out of reach; the token comes back after the lease.
        """
        timing = self.timing
        reply = await self._run(
            "acquire", claim.conversation, claim.conversation, claim.token, self.worker, fence,
            timing.attempts, timing.attempts_total, int(timing.queue_wait * 1000),
            timing.isolate_from if isolate else 0, heir_of, patience=timing.lease,
        )  # fmt: skip
        if reply[0] == b"ISOLATE":
            raise IsolationDue
        if reply[0] != b"OK":
            return None
        _, turn, attempt, gen, body, pieces, stored, about, total = reply
        return Grant(
            claim,
            fence,
            record.decode_turn(turn, stored, b"", turn),
            record.decode_private(stored),
            _about.decode(about),
            Partial(turn.decode(), int(gen), body.decode(), pieces.decode()),
            int(attempt),
            int(total),
        )

    async def keep(self, claim: Claim) -> bool:
        """Hold on to a token that is not acquired yet. False: it is another worker's now."""
        queue = self.keys.queue(claim.shard)
        return bool(await self.scripts.run("keep", [queue], (claim.token, self.worker)) == 1)

    async def path(self, grant: Grant, *, turns: int, size: int) -> list[Turn]:
        """The turns that lead to the granted one, oldest first, without it."""
        reply = await self._run("path", grant.claim.conversation, grant.turn.id, turns, size)
        found = [record.decode_turn(*reply[at : at + 3]) for at in range(0, len(reply), 3)]
        return found[::-1]

    async def renew(self, grant: Grant, *, patience: float) -> bool:
        """Keep the lease. False: the turn is not ours any more."""
        reply = await self._run("renew", grant.claim.conversation, grant.fence, self.worker, patience=patience)
        return bool(reply[0] == b"OK")

    async def delay(self, grant: Grant, reason: str, seconds: float) -> None:
        """Tell viewers that the model asked to wait."""
        args = (grant.fence, grant.turn.id, reason, f"{seconds:.1f}")
        await self._run("delay", grant.claim.conversation, *args)

    async def rewind(self, grant: Grant, gen: int, offset: int) -> int:
        """Withdraw the reply from a byte offset on. Replies the new generation.

        Raises:
            Fenced, Offset.
        """
        args = (grant.fence, grant.turn.id, gen, offset)
        reply = await self._run("rewind", grant.claim.conversation, *args, patience=ENDING_PATIENCE)
        return int(checked(reply))

    async def final(
        self, grant: Grant, gen: int, offset: int, status: Status, extra: bytes, pieces: list[Value]
    ) -> None:
        """Add the last pieces (letter, text, ...) and end the turn.

        Raises:
            Fenced, Offset.
        """
        args = (grant.fence, grant.turn.id, gen, offset, status, extra, *pieces)
        checked(await self._run("final", grant.claim.conversation, *args, patience=ENDING_PATIENCE))

    async def handoff(self, grant: Grant) -> None:
        """Give the turn back, claimable at once, attempt not charged."""
        await self._run("handoff", grant.claim.conversation, grant.fence, self.worker)

    async def fold(self, conversation: str) -> None:
        """Drop the events of turns that have ended."""
        await self._run("fold", conversation)

    async def audit(self, period: float, forget: float = FORGET_AFTER) -> int:
        """Put back the tokens that were lost. Each shard is looked after once in `period` seconds, by one worker.

        Replies how many were lost. Forgets the names of workers that hold nothing and were silent for `forget` seconds.

        Raises:
            Unavailable: the store is out of reach, or does not allow it.
        """
        try:
            return sum(await _each(self._audit_shard(shard, period, forget) for shard in self.keys.shards))
        except ResponseError as error:
            raise _passing(error) if is_passing(error) else Unavailable("store_refused", str(error)) from error

    async def _audit_shard(self, shard: str, period: float, forget: float) -> int:
        lost = 0
        call = self.client.multiplexer.call
        if await call(("SET", self.keys.audited(shard), 1, "NX", "PX", max(1, int(period * 1000)))):
            for name in await call(("ZREVRANGE", self.keys.active(shard), 0, -1)):
                conversation = name.decode()
                lost += (await self._run("audit", conversation, conversation))[0] == b"ISSUED"
            await self._forget(self.keys.queue(shard), forget)
        return lost

    async def _forget(self, queue: bytes, silent: float) -> None:
        """A worker that dies holding turns is not forgotten when it is evicted: it holds them until others do."""
        try:
            consumers = await self.client.multiplexer.call(("XINFO", "CONSUMERS", queue, GROUP))
        except ResponseError as error:
            if is_passing(error):
                raise
            return  # no queue, or no group
        for fields in consumers:
            about = dict(zip(fields[::2], fields[1::2], strict=True))
            if not about[b"pending"] and about[b"idle"] > silent * 1000:
                await self.scripts.run("evict", [queue], (about[b"name"],))

    async def evict(self, worker: str) -> int:
        """Free at once what a worker holds that is known to be dead. Replies how many turns were freed."""
        return sum(await _each(self.scripts.run("evict", [queue], (worker,)) for queue in self._queues))

    async def tell_full(self, seconds: float, queues: Queues = ()) -> None:
        """Tell whoever accepts messages that this worker has no place for another turn for a while."""
        keys = (self.keys.full(self._queues[queue]) for queue in queues or self.all)
        await _each(self.scripts.run("full", [key], (self.worker, int(seconds * 1000))) for key in keys)

    async def take_slot(self, model: str, holder: str, places: int) -> bool:
        """Hold (or keep) one of an upstream's places, for a lease."""
        args = (holder, places, int(self.timing.lease * 1000))
        return bool(await self.scripts.run("take_slot", [self.keys.slots(model)], args) == 1)

    async def free_slot(self, model: str, holder: str) -> None:
        """Give a place back."""
        await self.scripts.run("free_slot", [self.keys.slots(model)], (holder,))

    async def _run(self, script: str, conversation: str, *args: Value, patience: float = 2.0) -> Any:
        keys = self.keys.conversation(conversation)
        try:
            return await self.scripts.run(script, keys, args, patience=patience)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        # Someone took the group away: made anew, it has all that the queue still holds.
        await self.prepare((self.keys.queue(ids.shard_of(conversation)),))
        return await self.scripts.run(script, keys, args, patience=patience)


def checked(reply: list[Any]) -> Any:
    """The value of a script's OK, or its refusal as an exception."""
    if reply[0] == b"FENCED":
        raise Fenced
    if reply[0] == b"OFFSET":
        raise Offset(int(reply[1]))
    return reply[1]


async def _each(work: Iterable[Awaitable[int]]) -> list[int]:
    """Do all of it at once, and to the end whatever fails; only then a failure is raised."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if isinstance(each, int)]


def _passing(error: ResponseError) -> Exception:
    """What a refused read means: make the group, come back later, or our fault."""
    if str(error).startswith("NOGROUP"):
        return NoGroup(str(error))
    return unavailable(error) if is_passing(error) else error


def _claimed(reply: list[Any]) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of a raw XAUTOCLAIM reply; Redis 6.2 says nil for entries that were deleted meanwhile."""
    pairs = reply[1] if isinstance(reply[1], list) else []
    found = []
    for entry in pairs:
        if entry and entry[0] is not None:
            values = entry[1]
            fields = values if isinstance(values, dict) else dict(zip(values[::2], values[1::2], strict=True))
            found.append((entry[0], fields))
    return found


__all__ = [
    "TRANSIENT",
    "Claim",
    "Fenced",
    "Grant",
    "IsolationDue",
    "NoGroup",
    "Offset",
    "Runs",
    "Unavailable",
    "checked",
]
