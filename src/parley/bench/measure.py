"""One measurement: a load against a server, with what every process spent on it, as plain figures."""

import gc
import os
from collections.abc import Callable, Iterable
from typing import Any

from parley.bench.drivers import DRIVERS, Chat, Driver
from parley.bench.http import RECEIVED, Origin
from parley.bench.load import Load, Plan, Told
from parley.bench.processes import Meter


async def measure(
    plan: Plan,
    make: Callable[[], Driver],
    *,
    pids: Iterable[int],
    upstream: Origin | None,
    upstream_pid: int = 0,
    forget: bool = False,
    on_reply: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a load once. `pids` are the processes of the server. The figures of this process and of the upstream
    stand apart: they are not the server's. `forget` deletes the conversations afterwards.

    Raises:
        Failed: the conversations could not be made.
    """
    meter, client = Meter(pids), Meter([os.getpid()])
    above = Meter([upstream_pid] if upstream_pid else [])
    load = Load(plan, make, upstream, on_reply)
    busy = os.getloadavg()[0]
    try:
        await load.open()
        gc.collect()
        for each in (meter, client, above):
            each.start()
        received = RECEIVED[0]
        told = await load.run()
        spent, by_client, by_upstream = meter.spent(), client.spent(), above.spent()
        received = RECEIVED[0] - received
        memory = meter.memory()
    finally:
        if forget:
            await load.forget()
        load.close()
    return {
        "load_average": round(busy, 2),
        **figures(plan, told, spent),
        "bytes_per_token": round(received / told.tokens, 1) if told.tokens else 0.0,
        "client_cpu_s": sum(by_client.values()),
        "upstream_cpu_s": sum(by_upstream.values()),
        "upstream_late_ms": told.upstream_late,
        "memory": memory,
    }


def figures(plan: Plan, told: Told, spent: dict[str, float]) -> dict[str, Any]:
    """What a load came to. Cost is CPU seconds of all the server's processes for a million tokens delivered."""
    total = sum(spent.values())
    ramp = plan.spread * (plan.conversations - 1) / plan.conversations
    return {
        "conversations": plan.conversations,
        "wall_s": round(told.wall, 3),
        "ideal_s": round(ramp + plan.turns * max(0, plan.tokens - 1) * plan.delay, 3),
        "replies": told.replies,
        "tokens": told.tokens,
        "deltas": told.deltas,
        "tokens_per_s": round(told.tokens / told.wall, 1) if told.wall else 0.0,
        "deltas_per_s": round(told.deltas / told.wall, 1) if told.wall else 0.0,
        "cpu_s": round(total, 3),
        "cpu_s_per_million_tokens": round(total / told.tokens * 1e6, 2) if told.tokens else 0.0,
        "cpu_s_by_part": spent,
        "cpu_s_per_million_by_part": {
            name: round(each / told.tokens * 1e6, 1) if told.tokens else 0.0 for name, each in spent.items()
        },
        "first_token_ms": told.first.milliseconds(),
        "lag_ms": told.lag.milliseconds(),
        "accept_ms": told.accept.milliseconds(),
        "whole_reply_ms": told.whole.milliseconds(),
        "refused": told.refused,
        "failed": told.failed,
        "wrong": told.wrong,
        "errors": told.errors,
    }


def drivers(name: str, url: str, model: str = "", token: str = "") -> Callable[[], Driver]:
    """What makes drivers of one protocol for a Parley server."""
    kind, path = DRIVERS[name]
    origin = Origin(f"{url.rstrip('/')}{path}", token)
    return lambda: kind(origin, model)


def direct(upstream_url: str, model: str = "bench") -> Callable[[], Driver]:
    """What makes drivers that ask the upstream itself, without a server between: the limit."""
    origin = Origin(upstream_url)
    return lambda: Chat(origin, model)
