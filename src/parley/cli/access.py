"""Access to the store, as a process of ours needs it: connections, the check of the server, the barrier."""

import asyncio
import time
from pathlib import Path

from msgspec import Struct

from parley.cli.settings import Settings
from parley.cli.storage import aof_directory, store_url
from parley.core.errors import Unavailable
from parley.store.cluster import Cluster
from parley.store.connect import Client, ServerInfo
from parley.store.conversations import Barrier
from parley.store.durability import ClusterBarrier, FileBarrier, ServerBarrier
from parley.store.keys import Keys
from parley.store.nodes import Nodes, check, nodes

# How long a server may take to answer before that is an error: it may be starting, or being started again.
PATIENCE = 30.0
PASSING = ("redis_unreachable", "redis_loading", "redis_cannot_write")


class Access(Struct, frozen=True):
    """The store, open. `blocking` is for what blocks on the server: queue reads and the bell."""

    client: Nodes
    blocking: Nodes
    keys: Keys
    info: ServerInfo
    barrier: Barrier

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()
        await self.blocking.aclose()


async def open_store(settings: Settings, *, connections: int = 32) -> Access:
    """Wait until the server can be relied on, and connect.

    Raises:
        Unavailable: it cannot; one line says what to change.
        SettingsError: no server is named and none runs here.
    """
    return access(settings, await fit(settings), connections=connections)


def access(settings: Settings, info: ServerInfo, *, connections: int = 32) -> Access:
    """Connections to a server that was found fit; they are made when they are first used."""
    url, keys = store_url(settings), Keys(settings.prefix, settings.shards)
    # In a cluster each shard is waited for alone.
    readers = settings.shards if info.cluster else 4
    client, blocking = nodes(url, connections=connections), nodes(url, connections=readers, blocking=True)
    return Access(client, blocking, keys, info, barrier_for(client, info, keys, aof_directory(settings)))


async def fit(settings: Settings) -> ServerInfo:
    """Wait until the server can be relied on.

    Raises:
        Unavailable, SettingsError: see `open_store`.
    """
    client = nodes(store_url(settings), connections=1)
    try:
        return await _await_fit(client, settings.prefix)
    finally:
        await client.aclose()


def barrier_for(client: Nodes, info: ServerInfo, keys: Keys, directory: Path | None) -> Barrier:
    """As durable as it gets: our own sync beside an embedded server, else what the server says of disk and replicas."""
    if directory is not None and isinstance(client, Client):
        return FileBarrier(directory, client)
    if isinstance(client, Cluster):
        return ClusterBarrier(client, keys, disk=info.waits_for_disk)
    return ServerBarrier(client, f"{keys.prefix}sync", disk=info.waits_for_disk)


async def _await_fit(client: Nodes, prefix: str) -> ServerInfo:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return await check(client, prefix)
        except Unavailable as error:
            if error.code not in PASSING or time.monotonic() > until:
                raise
        await asyncio.sleep(0.02)
