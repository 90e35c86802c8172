"""While conversations stream, workers, web servers and redis-server are hurt at random: nothing is lost or doubled.

The run is `parley chaos`'s own (`parley.chaos`). The upstream's every token names its request and position, so what
must be seen is known to the letter. The seed is printed; ``PARLEY_CHAOS_SEED`` repeats one, ``PARLEY_CHAOS_SECONDS``
and ``PARLEY_CHAOS_TAKEOVERS`` make it longer.
"""

import asyncio
import os
import random
import time
from typing import Any, Literal

import pytest
import redis

from parley.chaos.place import place
from parley.chaos.plan import Plan
from parley.chaos.report import page
from parley.chaos.storm import Storm
from parley.chaos.tally import Verdict
from tests.faults.figures import figure


def left_behind(url: str, prefix: str = "parley:") -> list[str]:
    """What stands in the work queues, their pending lists and active sets: after everything ended, nothing may."""
    client = redis.Redis.from_url(url, decode_responses=True)
    found: list[str] = []
    for key in client.scan_iter(f"{prefix}*:queue"):
        entries: Any = client.xrange(key)
        found += [f"{key} {entry}" for entry in entries]
        pending: Any = client.xpending(key, "w")
        if pending["pending"]:
            found.append(f"{key} pending")
    for key in client.scan_iter(f"{prefix}*:active"):
        found.append(f"{key} {client.zcard(key)}")
    for key in client.scan_iter(f"{prefix}*:dead"):
        found.append(f"{key} {client.lrange(key, 0, -1)}")
    client.close()
    return found


async def storm(plan: Plan) -> tuple[Verdict, list[str], str]:
    """Run it: the verdict, what is left in Redis 15 s later, and what `parley up` said."""
    async with place(plan) as where:
        found = await Storm(where, plan).run()
        until = time.monotonic() + 15
        while (left := left_behind(where.redis_url)) and time.monotonic() < until:
            await asyncio.sleep(0.2)
        return found, left, where.server.said()


@pytest.mark.chaos
@pytest.mark.timeout(420)
@pytest.mark.parametrize(("recovery", "takeovers"), [("continue", 250), ("regenerate", 100)])
def test_nothing_is_lost_whatever_is_killed(recovery: Literal["continue", "regenerate"], takeovers: int) -> None:
    plan = Plan(
        seed=int(os.environ.get("PARLEY_CHAOS_SEED", "0")) or random.randrange(1, 1 << 32),
        takeovers=int(os.environ.get("PARLEY_CHAOS_TAKEOVERS", takeovers)),
        duration=float(os.environ.get("PARLEY_CHAOS_SECONDS", "200")),
        recovery=recovery,
    )
    print(f"\nseed {plan.seed}, {recovery}", flush=True)
    found, left, said = asyncio.run(storm(plan))
    print(page(found) if found.holds else f"{page(found)}\n{said[-5000:]}")
    row, redis_hurt = "F02" if recovery == "continue" else "F03", found.hurt.get("redis", {})
    figure(row, takeovers=found.takeovers, accepted=found.accepted, answered=found.answered, flaws=len(found.flaws))
    figure("F16", redis_killed=redis_hurt.get("kill", 0), accepted=found.accepted, answered=found.answered)
    assert found.flaws == []
    assert (found.lost, found.repeated, found.out_of_order, found.wrong, found.left) == (0, 0, 0, 0, 0)
    assert found.answered == found.accepted
    assert found.holds
    assert found.takeovers >= plan.takeovers
    assert left == []
