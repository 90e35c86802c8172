"""The servers that a deployment's keys are spread over: one, or the primaries of a cluster.

Everything of a conversation, and its shard's work queue, is on one of them. `multiplexer` carries scripts and short
commands, `execute` what blocks; both find the server by the key. `of` and `known` tell whose client it is, for links.
"""

import asyncio
from contextlib import suppress
from itertools import repeat

from msgspec.structs import replace
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import ResponseError

from parley.core.errors import Unavailable
from parley.store.address import clustered, normalise, validate_prefix
from parley.store.cluster import Cluster, Unserved
from parley.store.connect import Client, ServerInfo, connect, examine, look_for_files, told, unfit, where_is
from parley.store.connect import check as check_one

Nodes = Client | Cluster


def nodes(url: str, *, connections: int = 32, blocking: bool = False) -> Nodes:
    """What a URL names, each server with a client of its own. See `connect.connect`.

    Raises:
        ValueError: the URL is malformed.
    """
    url = normalise(url)
    where = clustered(url)
    if where is None:
        return connect(url, connections=connections, blocking=blocking)
    return Cluster(where, connections=connections, blocking=blocking)


async def check(client: Nodes, prefix: str) -> ServerInfo:
    """Make sure that the servers can be relied on. Of a cluster some nodes may be away.

    Raises:
        Unavailable: they cannot; one line says what to change, and never the password.
    """
    if isinstance(client, Client):
        return await check_one(client, prefix)
    return await _check_cluster(client, prefix)


async def _check_cluster(cluster: Cluster, prefix: str) -> ServerInfo:
    where = f"the cluster at {cluster.where}"
    look_for_files(where, cluster.any)
    with told(where, cluster.any, prefix):
        try:
            found = await cluster.every()
        except ResponseError as error:
            if "cluster support disabled" in str(error):
                raise unfit(where, "is none: begin with redis:// (or rediss://), and name one server") from None
            raise
        if (covered := cluster.covered) < REDIS_CLUSTER_HASH_SLOTS:
            missing = REDIS_CLUSTER_HASH_SLOTS - covered
            raise unfit(
                where, f"leaves {missing} of {REDIS_CLUSTER_HASH_SLOTS} slots to nobody: redis-cli --cluster fix"
            )
    answers = await asyncio.gather(*map(_check_node, found, repeat(prefix)), return_exceptions=True)
    infos = [answer for answer in answers if isinstance(answer, ServerInfo)]
    for answer in answers:
        # While a node is away the others do what they can without it.
        if isinstance(answer, BaseException) and not (infos and _is_away(answer)):
            raise answer
    with told(where, found[0], prefix), suppress(Unserved):
        await cluster.multiplexer.call(("SET", f"{validate_prefix(prefix)}check".encode(), 1, "PX", 1000))
    oldest = min(infos, key=lambda info: info.version)
    return replace(oldest, appends=all(info.appends for info in infos), servers=len(found))


async def _check_node(client: Client, prefix: str) -> ServerInfo:
    where = where_is(client)
    with told(where, client, prefix):
        return await examine(client, where)


def _is_away(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and error.code in ("redis_unreachable", "redis_loading")
