"""What goes on in a deployment just now, for operators: what waits, what runs, who works. It only reads."""

import asyncio
from typing import Any

from msgspec import Struct
from redis.exceptions import AskError, ClusterDownError, ResponseError

from parley.core.errors import Unavailable
from parley.store.connect import Client
from parley.store.keys import GROUP, OWN, SHARED, Keys
from parley.store.multiplexer import Unserved
from parley.store.nodes import Nodes
from parley.store.scripts import TRANSIENT

# Of a shard; a deployment with more under way is told of in numbers only.
MOST = 100


class Running(Struct, frozen=True):
    """A turn that a worker holds. Times are seconds."""

    conversation: str
    worker: str
    seconds: float  # since it was started
    size: int  # bytes of its reply so far
    attempts: int  # in all
    renewed: float  # since its lease was renewed


class Working(Struct, frozen=True):
    """A worker; `turns` are those it holds, `idle` the seconds since it last spoke.

    Redis 6.2 and 7.0 know of it from its first turn on, newer ones from the first time it asked for one.
    """

    name: str
    turns: int
    idle: float


class Overview(Struct, frozen=True):
    """A deployment at a moment. `waiting` counts conversations with a turn that nobody took yet."""

    waiting: int
    oldest: float  # seconds the first of them has waited
    dead: int  # dead letters
    running: list[Running]
    workers: list[Working]
    away: int = 0  # shards whose node of a cluster is out of reach: nothing is known of them


async def look(client: Nodes, keys: Keys) -> Overview:
    """See what goes on.

    Raises:
        Unavailable: the store is out of reach.
    """
    try:
        looks = await asyncio.gather(*(_shard(client, keys, shard) for shard in keys.shards), return_exceptions=True)
        shards = [look for look in looks if not isinstance(look, BaseException)]
        failures = [look for look in looks if isinstance(look, BaseException)]
        # In a cluster the shards of a node that is away are missing, and counted; alone, a server is there or is not.
        for failure in failures:
            if not (shards and isinstance(failure, TRANSIENT)):
                raise failure
    except TRANSIENT as error:
        raise Unavailable("store_unreachable", "The store is out of reach.", retry_after=1) from error
    workers: dict[str, Working] = {}
    for _, _, _, _, seen in shards:
        for each in seen:
            known = workers.get(each.name, Working(each.name, 0, each.idle))
            workers[each.name] = Working(each.name, known.turns + each.turns, min(known.idle, each.idle))
    return Overview(
        waiting=sum(shard[0] for shard in shards),
        oldest=max((shard[1] for shard in shards), default=0.0),
        dead=sum(shard[2] for shard in shards),
        running=sorted((one for shard in shards for one in shard[3]), key=lambda one: -one.seconds),
        workers=sorted(workers.values(), key=lambda one: one.name),
        away=len(failures),
    )


Shard = tuple[int, float, int, list[Running], list[Working]]


async def _shard(client: Nodes, keys: Keys, shard: str) -> Shard:
    queue = keys.queue(shard)
    server = await client.of(queue)
    pipe = server.pipeline(transaction=False)
    pipe.time()
    pipe.xrange(queue, count=MOST)
    pipe.xlen(queue)
    pipe.xpending_range(queue, GROUP.decode(), "-", "+", MOST)
    pipe.xinfo_consumers(queue, GROUP.decode())
    pipe.llen(queue.removesuffix(b"queue") + b"dead")
    clock, *replies = await pipe.execute(raise_on_error=False)
    if any(isinstance(each, AskError | ClusterDownError) for each in replies):
        raise Unserved("the shard is on its way to another node")
    # Before the first worker came there is no group, and before the first turn no queue.
    entries, length, pending, consumers, dead = (None if isinstance(each, ResponseError) else each for each in replies)
    now = clock[0] * 1000 + clock[1] / 1000
    held = {each["message_id"]: each for each in pending or []}
    waits = [token for token, _ in entries or [] if token not in held]
    running = []
    for token, fields in entries or []:
        if token in held and b"c" in fields:
            running.append(await _running(server, keys, fields[b"c"].decode(), held[token], now))
    oldest = max((now - int(token.partition(b"-")[0])) / 1000 for token in waits) if waits else 0.0
    seen = [Working(each["name"].decode(), each["pending"], each["idle"] / 1000) for each in consumers or []]
    return max(0, (length or 0) - len(held)), oldest, dead or 0, running, seen


async def _running(client: Client, keys: Keys, conversation: str, lease: dict[str, Any], now: float) -> Running:
    named = dict(zip((*OWN, *SHARED), keys.conversation(conversation), strict=True))
    pipe = client.pipeline(transaction=False)
    pipe.hmget(named["meta"], ["started", "total"])
    pipe.strlen(named["reply"])
    (started, total), size = await pipe.execute()
    return Running(
        conversation=conversation,
        worker=lease["consumer"].decode(),
        seconds=(now - int(started)) / 1000 if started else 0.0,
        size=size,
        attempts=int(total or 0),
        renewed=lease["time_since_delivered"] / 1000,
    )
