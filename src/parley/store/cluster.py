"""A Redis Cluster: which node serves which slot, and commands that find the node that serves their key.

The map is learned from the nodes themselves. It is wrong now and then, and may be: a node that does not serve a slot
says who does, and the command is sent there, the same command with the same arguments, which all scripts bear.
While there are connections the nodes are asked once a second, as one that was stopped says nothing: connections to a
node that serves nothing any more are ended, and what waited for them goes on elsewhere.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from msgspec import Struct
from redis import exceptions
from redis.asyncio import BlockingConnectionPool
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from parley.store.address import Clustered
from parley.store.cancelling import cancel
from parley.store.connect import Client, client_of, pool_options, tls_options
from parley.store.connections import NodeConnection, NodeTlsConnection
from parley.store.link import code
from parley.store.multiplexer import Redirection, Unserved

log = logging.getLogger(__name__)

# How long a node may take to say what it knows, and how often nodes are asked, in seconds.
PATIENCE = 2.0
PERIOD = 1.0
# How long a map counts as new.
FRESH = 0.1
# How many are asked at once: one that is cut off from the others would tell what was.
ASKED = 3
# How often a command is sent on; nodes that do not agree will have agreed by then, or it is sent anew later.
REDIRECTIONS = 5
# Where a command has its key, if not right behind its name.
KEY_AT = {"EVALSHA": 3, "EVAL": 3, "XGROUP": 2, "XINFO": 2}

LOST = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)

Address = tuple[str, int]


class Map(Struct, frozen=True):
    """What a node says of the cluster."""

    epoch: int  # the newest configuration it has heard of
    ranges: list[tuple[int, int, Address]]  # first slot, last slot, and the primary that serves them
    replicas: set[Address]


class Cluster:
    """The nodes of one cluster. See `nodes.Nodes`.

    Args:
        where: some of its nodes.
        connections, blocking: of the clients, a client a node; see `connect.connect`.
    """

    clustered = True

    def __init__(self, where: Clustered, *, connections: int, blocking: bool) -> None:
        self.where = where
        self.multiplexer = Dispatcher(self)
        self._options = pool_options(where.server, connections=connections, blocking=blocking)
        self._tls = bool(tls_options(self._options))
        self._clients: dict[Address, Client] = {}
        self._writers: dict[Address, WeakSet[asyncio.StreamWriter]] = {}
        self._slots: list[Client | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._primaries: set[Address] = set()
        self._replicas: set[Address] = set()
        self._learned = 0.0  # when the map came
        self._asking: asyncio.Task[None] | None = None  # one round serves all who ask meanwhile
        self._watching: asyncio.Task[None] | None = None
        self._doubted = asyncio.Event()  # the map seems to be wrong
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def any(self) -> Client:
        """The client of the first node that was named."""
        return self._client(self.where.nodes[0])

    async def of(self, key: bytes) -> Client:
        """The client of the node that serves a key, as far as is known.

        Raises:
            Unserved: none does at the moment. Or what `learn` raises.
        """
        node = self._slots[key_slot(key)]
        if node is None:
            if time.monotonic() - self._learned > FRESH:
                await self.learn()
            node = self._slots[key_slot(key)]
            if node is None:
                raise Unserved("no node of the cluster serves the slot")
        return node

    def known(self, key: bytes) -> Client:
        """The same at once; where it is not known any node's, which will say whose it is."""
        return self._slots[key_slot(key)] or self.any

    async def every(self) -> list[Client]:
        """The clients of all primaries."""
        if not self._primaries:
            await self.learn()
        return [self._client(address) for address in sorted(self._primaries)]

    def serves(self, node: Client) -> bool:
        """Whether a client's node serves anything."""
        return any(self._clients.get(address) is node for address in self._primaries)

    @property
    def covered(self) -> int:
        """How many slots have a node that serves them."""
        return sum(node is not None for node in self._slots)

    async def execute(self, key: bytes, *command: Any) -> Any:
        """Run a command about a key over a connection of its own; it may block.

        Raises:
            Unserved: the node is not itself at the moment.
            redis.exceptions.ConnectionError: it may or may not have run.
        """
        node, asking = await self.of(key), False
        for _ in range(REDIRECTIONS):
            try:
                return await _execute(node, command, asking=asking)
            except exceptions.AskError as error:
                asking = not isinstance(error, exceptions.MovedError)
                node = self.redirected(f"{'ASK' if asking else 'MOVED'} {error}", node)
            except (exceptions.ClusterDownError, exceptions.TryAgainError) as error:
                self.doubt()
                raise Unserved(str(error)) from error
            except LOST:
                self.doubt()
                raise
        raise Unserved("the nodes of the cluster do not agree")

    def redirected(self, message: str, asked: Client) -> Client:
        """The client of the node that a MOVED or ASK names; the first is remembered."""
        _, slot, where = message.split(" ", 2)
        host, _, port = where.rpartition(":")
        node = self._client((host or _address(asked)[0], int(port)))
        if code(message) == "MOVED":
            self._slots[int(slot)] = node
            self.doubt()
        return node

    def doubt(self) -> None:
        """The map seems to be wrong: have it asked for anew."""
        self._doubted.set()

    async def learn(self) -> None:
        """Ask for the map.

        Raises:
            redis.exceptions.ConnectionError: no node answers. redis.exceptions.ResponseError: they refuse.
        """
        if self._asking is None:
            self._asking = asyncio.create_task(self._learn())
            self._asking.add_done_callback(self._asked)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        await asyncio.shield(self._asking)

    async def aclose(self) -> None:
        """Close all connections."""
        await cancel(*filter(None, (self._watching, self._asking)))
        for client in self._clients.values():
            await client.aclose()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        # Seen here for the case that all who asked have gone.
        _ = task.cancelled() or task.exception()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._doubted.wait(), PERIOD)
            self._doubted.clear()
            with contextlib.suppress(exceptions.RedisError, OSError):
                await self.learn()
            await asyncio.sleep(FRESH)

    async def _learn(self) -> None:
        primaries = random.sample(sorted(self._primaries), min(ASKED, len(self._primaries)))
        others = {*self.where.nodes, *self._primaries, *self._replicas}.difference(primaries)
        errors: list[BaseException] = []
        for asked in filter(None, (primaries, sorted(others))):
            answers = await asyncio.gather(*map(self._ask, asked), return_exceptions=True)
            found = [answer for answer in answers if isinstance(answer, Map)]
            if found:
                self._take(max(found, key=lambda one: one.epoch))
                return
            errors += [answer for answer in answers if isinstance(answer, BaseException)]
        kinds = (exceptions.ResponseError, exceptions.AuthenticationError)
        refusals = [error for error in errors if isinstance(error, kinds)]
        if refusals:
            raise refusals[0]
        raise exceptions.ConnectionError(f"no node answers: {errors[-1]}") from errors[-1]

    async def _ask(self, address: Address) -> Map:
        call = self._client(address).multiplexer.call
        try:
            async with asyncio.timeout(PATIENCE):
                about, slots = await asyncio.gather(call(("CLUSTER", "INFO")), call(("CLUSTER", "SLOTS")))
        except TimeoutError as error:
            raise exceptions.TimeoutError(f"{address[0]}:{address[1]} does not answer") from error
        fields = dict(line.split(b":", 1) for line in about.split(b"\r\n") if b":" in line)
        ranges: list[tuple[int, int, Address]] = []
        replicas: set[Address] = set()
        for first, last, primary, *rest in slots:
            ranges.append((first, last, _named(primary, address)))
            replicas.update(_named(one, address) for one in rest)
        return Map(int(fields[b"cluster_current_epoch"]), ranges, replicas)

    def _take(self, found: Map) -> None:
        """Go by a map from now on, and leave the nodes that serve nothing any more."""
        slots: list[Client | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, address in found.ranges:
            slots[first : last + 1] = [self._client(address)] * (last + 1 - first)
        primaries = {address for _, _, address in found.ranges}
        before, self._primaries = self._primaries, primaries
        self._slots, self._replicas, self._learned = slots, found.replicas, time.monotonic()
        if before and before != primaries:
            log.warning("the cluster's primaries are %s now", ", ".join(f"{host}:{port}" for host, port in primaries))
        for address in before - primaries:
            self._leave(address)

    def _client(self, address: Address) -> Client:
        client = self._clients.get(address)
        if client is None:
            writers: WeakSet[asyncio.StreamWriter] = WeakSet()
            self._writers[address] = writers
            kind = NodeTlsConnection if self._tls else NodeConnection
            options = self._options | {"host": address[0], "port": address[1], "connection_class": kind}
            client = self._clients[address] = client_of(BlockingConnectionPool(writers=writers, **options))
        return client

    def _leave(self, address: Address) -> None:
        client = self._clients.pop(address)
        for writer in self._writers.pop(address):
            writer.transport.abort()
        leaving = asyncio.create_task(client.aclose())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


class Dispatcher:
    """Sends each command over the multiplexer of the node that serves its key."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def call(self, command: Sequence[bytes | str | int | float]) -> Any:
        """Send a command that has a key, and wait for its reply. See `Multiplexer.call`.

        Raises:
            Unserved: no node serves the key at the moment; it did not run.
        """
        key = command[KEY_AT.get(str(command[0]), 1)]
        assert isinstance(key, bytes)
        node, asking = await self._cluster.of(key), False
        for _ in range(REDIRECTIONS):
            try:
                return await (node.multiplexer.ask(command) if asking else node.multiplexer.call(command))
            except Redirection as error:
                node, asking = self._cluster.redirected(str(error), node), code(str(error)) == "ASK"
            except LOST:
                self._cluster.doubt()
                raise
        raise Unserved("the nodes of the cluster do not agree")


async def _execute(node: Client, command: Sequence[Any], *, asking: bool) -> Any:
    if not asking:
        return await node.execute_command(*command)  # type: ignore[no-untyped-call]
    async with node.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*command)
        _, reply = await pipeline.execute(raise_on_error=False)
    if isinstance(reply, Exception):
        raise reply
    return reply


def _named(node: list[Any], asked: Address) -> Address:
    """A node's address as CLUSTER SLOTS tells it; one that is not told is that of the node that was asked."""
    host = node[0] or b""
    return (asked[0] if host in (b"", b"?") else host.decode(), int(node[1]))


def _address(client: Client) -> Address:
    about = client.connection_pool.connection_kwargs
    return about["host"], int(about["port"])


__all__ = ["Cluster", "Unserved"]
