"""X15 on a real cluster, where a session's bucket and its conversations are at different servers."""

import asyncio

import pytest

from parley.core.limits import Timing
from parley.core.quota import Budget, Quota, Rate
from parley.core.turn import Usage
from parley.store.nodes import nodes
from parley.store.rates import OverQuota, TooFast
from parley.store.runs import Runs
from parley.wire.record import encode_extra
from tests.redis_cluster import clustered
from tests.store.harness import Bench, run


def test_rates_and_budgets_hold_over_the_servers_of_a_cluster() -> None:
    quota = Quota((Rate("ann", 4), Rate("address", 9)), (Budget("ann", 50),))

    async def main(url: str) -> None:
        b = Bench(url, timing=Timing(lease=30), shards=16)
        blocking = nodes(url, blocking=True)
        try:
            names = [await b.conversation() for _ in range(6)]
            for name in names[:4]:
                await b.say(name, "x", "one", quota=quota)
            with pytest.raises(TooFast):
                await b.say(names[4], "x", quota=quota)
            assert (await b.say(names[0], "x", "one", quota=quota)).replayed
            runs = Runs(b.client, blocking, b.keys, b.timing, "worker")
            await runs.prepare()
            for queue in runs.all:
                claims, _ = await runs.wait(0.01, 9, queues=(queue,))
                for claim in claims:
                    grant = await runs.acquire(claim, "fence")
                    assert grant is not None
                    await runs.final(grant, 1, 0, "completed", encode_extra(usage=Usage(15, 5)), [])
            with pytest.raises(OverQuota):
                await b.say(names[4], "x", quota=Quota(budgets=quota.budgets))
            assert (await b.say(names[0], "x", "one", quota=quota)).replayed
        finally:
            await asyncio.gather(b.client.aclose(), blocking.aclose())

    with clustered(replicas=0) as cluster:
        run(main(cluster.url))
