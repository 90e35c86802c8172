"""Workers come and go, and leave nothing behind in Redis."""

import asyncio

import pytest

from tests.redis_servers import binaries
from tests.store.harness import Bench, bench


@pytest.mark.parametrize("server", list(binaries()))
def test_a_dead_worker_s_name_is_forgotten(server: str) -> None:
    """It stays while it holds something, as others could not take over what nobody held."""

    async def main() -> None:
        async with bench(binaries()[server]) as b:
            await forgotten(b)

    asyncio.run(main())


async def forgotten(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    dead, alive = b.runs("dead"), b.runs("alive")
    await b.take(dead)
    assert await alive.evict("dead") == 1
    assert await names(b) == {b"dead"}
    await asyncio.sleep(0.03)
    await alive.audit(0.001, forget=0.02)
    assert await names(b) == {b"dead"}
    claim = (await alive.scan(1))[0]
    grant = await alive.acquire(claim, "fence-2")
    assert grant is not None
    await alive.wait(0.001)
    await alive.audit(0.001, forget=3600)
    assert await names(b) == {b"dead", b"alive"}
    await asyncio.sleep(0.03)  # the mark of the last audit stood for a millisecond
    await alive.audit(0.001, forget=0.02)
    assert await names(b) == {b"alive"}  # which holds a turn
    await alive.final(grant, 1, 0, "completed", b"", ["", "x"])


async def names(b: Bench) -> set[bytes]:
    """The consumers of the one queue."""
    queue = b.keys.queue("00")
    told = await b.client.execute(queue, "XINFO", "CONSUMERS", queue, "w")
    return {dict(zip(each[::2], each[1::2], strict=True))[b"name"] for each in told}
