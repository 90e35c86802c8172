"""When is what was accepted safe from a power cut? The barrier that posts and ends wait at; deltas never do.

Redis (appendfsync everysec) hands every write to the kernel before it replies, so a killed server loses
nothing; only the kernel may still hold the last second. A barrier answers when the disk has it: `FileBarrier`
for a server whose append-only file is on this machine, `ServerBarrier` for a foreign one, whose replicas it asks too,
`NoBarrier` where nobody is to wait. The answer, ``memory``, ``fsync`` or ``replicated``, is what the client is told.

No barrier vouches for what another server acknowledged: after a restart or a failover the answer is ``memory``.
"""

import asyncio
import contextlib
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from redis.exceptions import RedisError

from parley.core import ids
from parley.core.errors import Unavailable
from parley.store.cluster import Cluster
from parley.store.connect import Client
from parley.store.keys import Keys

Durability = Literal["memory", "fsync", "replicated"]
LEVELS: tuple[Durability, ...] = ("memory", "fsync", "replicated")

# How often a server without replicas is asked whether it has any by now, in seconds.
ASK_EVERY = 5.0

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

    def __init__(self, client: Client) -> None:
        self._multiplexer = client.multiplexer
        self._running: asyncio.Task[tuple[Durability, bytes]] | None = None
        self._next: asyncio.Task[tuple[Durability, bytes]] | None = None

    async def __call__(self, conversation: str = "") -> Durability:
        """Return once what the server acknowledged before this call is as safe as the answer says.

        Raises:
            Unavailable: the disk or the server fails; what was written may not survive a power cut.
        """
        acknowledged = self._multiplexer.server
        if self._next is None:
            self._next = asyncio.create_task(self._follow(self._running))
            # Seen here for the case that every caller has given up by then.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Shielded: a caller that gives up must not take the others' round with it.
        safe, vouching = await asyncio.shield(self._next)
        return safe if vouching == acknowledged or not acknowledged else "memory"

    async def _follow(self, before: asyncio.Task[tuple[Durability, bytes]] | None) -> tuple[Durability, bytes]:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        return await self._round()

    @abstractmethod
    async def _round(self) -> tuple[Durability, bytes]:
        """How safe it is, and which run of which server says so (`Multiplexer.server`)."""


class FileBarrier(GroupBarrier):
    """Syncs the append-only file of a server on this machine at once instead of once a second.

    Args:
        directory: the server's working directory (`EmbeddedRedis.aof_directory`).
        client: of that server; it is only asked for INFO.

    When Redis 6.2 has swapped in a rewritten file it syncs it itself, a moment after the swap: a power cut in
    just that moment can still cost the last second. Redis 7 and Valkey have no such moment.
    """

    def __init__(self, directory: Path, client: Client) -> None:
        super().__init__(client)
        self._directory = directory
        self._listed: tuple[int, list[Path]] = (0, [])  # when the directory had changed, and what was in it then
        self._named: set[tuple[int, int]] = set()  # files whose names are known to be on disk as well

    async def _round(self) -> tuple[Durability, bytes]:
        try:
            vouching = await self._await_written()
            await asyncio.to_thread(self._sync)
        except (RedisError, OSError) as error:
            message = "the message store cannot be synced to disk"
            raise Unavailable("storage_unavailable", message, retry_after=1) from error
        return "fsync", vouching

    async def _await_written(self) -> bytes:
        """Wait until the kernel has everything acknowledged so far; which run of the server says so.

        A reply follows the write to the file, with one exception: while a sync of its own is under way, Redis
        puts the write off for up to two seconds. So nothing acknowledged is left in its buffer if the buffer
        was empty when it answered, or if no sync was pending (then it is written before the answer is sent).
        """
        deadline = asyncio.get_running_loop().time() + WRITE_WAIT
        while True:
            about = await self._persistence()
            server = self._multiplexer.server
            if about.get(b"aof_enabled", b"0") == b"0":
                raise Unavailable("storage_unavailable", "the message store keeps no append-only file")
            postponed = about[b"aof_buffer_length"] != b"0" and about[b"aof_pending_bio_fsync"] != b"0"
            if about[b"aof_last_write_status"] == b"ok" and not postponed:
                return server
            if asyncio.get_running_loop().time() > deadline:
                message = "the message store cannot write to its disk"
                raise Unavailable("storage_unavailable", message, retry_after=5)
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


class ServerBarrier(GroupBarrier):
    """Asks a foreign server to say when its disk has it (WAITAOF), and when a replica has it (WAIT).

    Args:
        client: its socket timeout must be above `timeout`.
        key: a key of ours to write to: both vouch for their connection's last write and all before it.
        disk: whether the server knows WAITAOF and keeps an append-only file.
        timeout: seconds after which no more is vouched for than is known.
    """

    def __init__(self, client: Client, key: str, *, disk: bool, timeout: float = 2.0) -> None:
        super().__init__(client)
        self._client = client
        self._key = key
        self._disk = disk
        self._timeout = timeout
        self._replicas = False  # whether there were any when it was last asked
        self._asked = -ASK_EVERY

    async def _round(self) -> tuple[Durability, bytes]:
        now = asyncio.get_running_loop().time()
        if not self._disk and not self._replicas and now - self._asked < ASK_EVERY:
            return "memory", b""
        patience = int(self._timeout * 1000)
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.info("server")
                pipeline.info("replication")
                if self._disk or self._replicas:
                    pipeline.set(self._key, 1, ex=60)
                if self._disk:
                    pipeline.execute_command("WAITAOF", 1, 0, patience)
                if self._replicas:
                    pipeline.execute_command("WAIT", 1, patience)
                server, replication, *answers = await pipeline.execute(raise_on_error=False)
                for answer in (server, replication, *answers[: 1 + self._disk]):
                    if isinstance(answer, Exception):
                        raise answer
        except (RedisError, OSError) as error:
            raise Unavailable("storage_unavailable", "the message store does not answer", retry_after=1) from error
        # A user who may not ask the replicas is told of the disk.
        replicated = self._replicas and isinstance(answers[-1], int) and answers[-1] >= 1
        synced = self._disk and answers[1][0] >= 1
        known, self._replicas = self._replicas, replication.get("connected_slaves", 0) > 0
        self._asked = now
        if self._replicas and not known:
            return await self._round()
        return "replicated" if replicated else "fsync" if synced else "memory", server.get("run_id", "").encode()


class ClusterBarrier:
    """The same for a cluster: asks the node that has the conversation, and no other. A round for each node.

    Args:
        keys: those of the deployment; a key of each shard's own is written to.
        disk: see `ServerBarrier`.
    """

    def __init__(self, cluster: Cluster, keys: Keys, *, disk: bool) -> None:
        self._cluster = cluster
        self._keys = keys
        self._disk = disk
        self._rounds: WeakKeyDictionary[Client, ServerBarrier] = WeakKeyDictionary()

    async def __call__(self, conversation: str = "") -> Durability:
        """Return once what was acknowledged of a conversation is as safe as the answer says; without one: of all.

        Raises:
            Unavailable: the node fails, or gave the conversation away meanwhile; what was written may not survive.
        """
        shards = (ids.shard_of(conversation),) if conversation else self._keys.shards
        answers = await asyncio.gather(*map(self._wait, shards))
        return min(answers, key=LEVELS.index)

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
        waiting = self._rounds.setdefault(node, ServerBarrier(node, key.decode(), disk=self._disk))
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
