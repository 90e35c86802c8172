"""When is what was accepted safe from a power cut? The barrier that posts and ends wait at; deltas never do.

Redis (appendfsync everysec) hands every write to the kernel before it replies, so a killed server loses
nothing; only the kernel may still hold the last second. A barrier answers when the disk has it: `FileBarrier`
for a server whose append-only file is on this machine, `WaitAof` for a foreign one of version 7.2 and up,
`NoBarrier` where neither can be had. The answer, ``fsync`` or ``memory``, is what the client is told.
"""

import asyncio
import contextlib
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.exceptions import RedisError

from parley.core import ids
from parley.core.errors import Unavailable
from parley.store.cluster import Cluster
from parley.store.connect import Client
from parley.store.keys import Keys

Durability = Literal["memory", "fsync"]

# How long Redis may fail to write its file (a full disk) before the caller hears of it.
WRITE_WAIT = 5.0
POLL = 0.001
# How long ago a directory must have changed for its time to tell whether it changes again, in nanoseconds.
SETTLED = 1_000_000_000


class NoBarrier:
    """Waits for nothing: what is accepted is in the server's memory now, on its disk in a second or two."""

    async def __call__(self, conversation: str = "") -> Durability:
        return "memory"


class GroupBarrier(ABC):
    """One round at a time; whoever calls during a round shares the next one, however many they are.

    A round vouches only for what was acknowledged before it began, hence the next and not the present one.
    """

    def __init__(self) -> None:
        self._running: asyncio.Task[Durability] | None = None
        self._next: asyncio.Task[Durability] | None = None

    async def __call__(self, conversation: str = "") -> Durability:
        """Return once what the server acknowledged before this call is as safe as the answer says.

        Raises:
            Unavailable: the disk or the server fails; what was written may not survive a power cut.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._follow(self._running))
            # Seen here for the case that every caller has given up by then.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Shielded: a caller that gives up must not take the others' round with it.
        return await asyncio.shield(self._next)

    async def _follow(self, before: asyncio.Task[Durability] | None) -> Durability:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        return await self._round()

    @abstractmethod
    async def _round(self) -> Durability: ...


class FileBarrier(GroupBarrier):
    """Syncs the append-only file of a server on this machine at once instead of once a second.

    Args:
        directory: the server's working directory (`EmbeddedRedis.aof_directory`).
        client: of that server; it is only asked for INFO.

    When Redis 6.2 has swapped in a rewritten file it syncs it itself, a moment after the swap: a power cut in
    just that moment can still cost the last second. Redis 7 and Valkey have no such moment.
    """

    def __init__(self, directory: Path, client: Client) -> None:
        super().__init__()
        self._directory = directory
        self._multiplexer = client.multiplexer
        self._listed: tuple[int, list[Path]] = (0, [])  # when the directory had changed, and what was in it then
        self._named: set[tuple[int, int]] = set()  # files whose names are known to be on disk as well

    async def _round(self) -> Durability:
        try:
            await self._await_written()
            await asyncio.to_thread(self._sync)
        except (RedisError, OSError) as error:
            raise Unavailable("storage_unavailable", "the message store cannot be synced to disk") from error
        return "fsync"

    async def _await_written(self) -> None:
        """Wait until the kernel has everything acknowledged so far.

        A reply follows the write to the file, with one exception: while a sync of its own is under way, Redis
        puts the write off for up to two seconds. So nothing acknowledged is left in its buffer if the buffer
        was empty when it answered, or if no sync was pending (then it is written before the answer is sent).
        """
        deadline = asyncio.get_running_loop().time() + WRITE_WAIT
        while True:
            about = await self._persistence()
            if about.get(b"aof_enabled", b"0") == b"0":
                raise Unavailable("storage_unavailable", "the message store keeps no append-only file")
            postponed = about[b"aof_buffer_length"] != b"0" and about[b"aof_pending_bio_fsync"] != b"0"
            if about[b"aof_last_write_status"] == b"ok" and not postponed:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable("storage_unavailable", "the message store cannot write to its disk")
            await asyncio.sleep(POLL)

    async def _persistence(self) -> dict[bytes, bytes]:
        """That section of the server's INFO."""
        text: bytes = await self._multiplexer.call(("INFO", "persistence"))
        pairs = (line.partition(b":") for line in text.split(b"\r\n"))
        return {name: value for name, _, value in pairs}

    def _sync(self) -> None:
        while True:
            synced = {path: identity for path in self._files() if (identity := _sync_path(path))}
            if not self._named.issuperset(synced.values()):
                _sync_path(self._directory)
                _sync_path(self._directory / "appendonlydir")
                self._named = set(synced.values())
            # Once more if a rewrite swapped files meanwhile: the names must lead to what was synced.
            if synced and all(synced.get(path) == _identity(path) for path in self._files()):
                return

    def _files(self) -> list[Path]:
        # Redis 7 begins a new increment at each rewrite; the one before may hold what was just acknowledged.
        # One that is removed meanwhile is contained in the base file that took its place, which is synced.
        folder = self._directory / "appendonlydir"
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return [self._directory / "appendonly.aof"]
        if changed != self._listed[0]:
            listed = sorted(folder.glob("*.incr.aof"))
            if time.time_ns() - changed < SETTLED:
                return listed  # it may change again without looking changed
            self._listed = (changed, listed)
        return self._listed[1]


class WaitAof(GroupBarrier):
    """Asks a foreign server (Redis 7.2 or newer, with an append-only file) to say when it has synced.

    Args:
        client: its socket timeout must be above `timeout`.
        key: a key of ours to write to: WAITAOF vouches for its connection's last write and all before it.
        timeout: seconds after which the answer is "memory".
    """

    def __init__(self, client: Redis, key: str, timeout: float = 3.0) -> None:
        super().__init__()
        self._client = client
        self._key = key
        self._timeout = timeout

    async def _round(self) -> Durability:
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.set(self._key, 1, ex=60)
                pipeline.execute_command("WAITAOF", 1, 0, int(self._timeout * 1000))
                _, synced = await pipeline.execute()
        except RedisError as error:
            raise Unavailable("storage_unavailable", "the message store does not answer") from error
        return "fsync" if synced[0] >= 1 else "memory"


class ClusterBarrier:
    """The same for a cluster: asks the node that has the conversation, and no other. A round for each node.

    Args:
        keys: those of the deployment; a key of each shard's own is written to.
    """

    def __init__(self, cluster: Cluster, keys: Keys) -> None:
        self._cluster = cluster
        self._keys = keys
        self._rounds: WeakKeyDictionary[Client, WaitAof] = WeakKeyDictionary()

    async def __call__(self, conversation: str = "") -> Durability:
        """Return once what was acknowledged of a conversation is as safe as the answer says; without one: of all.

        Raises:
            Unavailable: the node fails, or gave the conversation away meanwhile; what was written may not survive.
        """
        shards = (ids.shard_of(conversation),) if conversation else self._keys.shards
        answers = await asyncio.gather(*map(self._wait, shards))
        return "fsync" if set(answers) == {"fsync"} else "memory"

    async def _wait(self, shard: str) -> Durability:
        try:
            return await self._ask(shard)
        except Unavailable:
            # The shard may be another node's by now, or that whose key the round wrote to.
            return await self._ask(shard)

    async def _ask(self, shard: str) -> Durability:
        key = self._keys.sync(shard)
        try:
            node = await self._cluster.of(key)
        except (RedisError, OSError) as error:
            raise Unavailable("storage_unavailable", "the message store does not answer") from error
        waiting = self._rounds.setdefault(node, WaitAof(node, key.decode()))
        try:
            return await waiting()
        except Unavailable:
            self._rounds.pop(node, None)
            with contextlib.suppress(RedisError, OSError):
                await self._cluster.learn()
            raise


def _sync_path(path: Path) -> tuple[int, int] | None:
    """Sync a file or directory and tell its identity; None when there is none of that name."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        os.fsync(handle)
        about = os.fstat(handle)
        return about.st_dev, about.st_ino
    finally:
        os.close(handle)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_dev, about.st_ino
