"""New turns are refused once turns wait too long for workers that are there, and only then."""

import asyncio

import pytest

from parley.core.errors import Unavailable
from parley.core.limits import Limits
from tests.redis_servers import binaries
from tests.store.harness import Bench, bench, run

WAIT = 0.1

pytestmark = pytest.mark.parametrize("server", [*binaries()])


async def refusal(place: Bench, times: int) -> Unavailable | None:
    """Say things, each in a conversation of its own, until one is refused."""
    for _ in range(times):
        try:
            await place.say(await place.conversation(), "x")
        except Unavailable as error:
            return error
        await asyncio.sleep(WAIT / 2)
    return None


def test_what_busy_workers_do_not_get_to_is_refused(server: str) -> None:
    async def story() -> None:
        async with bench(binaries()[server], limits=Limits(backlog=WAIT)) as place:
            runs = place.runs()
            await runs.prepare()
            first, second = await place.conversation(), await place.conversation()
            await place.say(first, "taken at once")
            await place.take(runs)
            receipt = await place.say(second, "waits", "key")
            error = await refusal(place, 100)
            assert error is not None
            assert (error.code, error.retry_after) == ("overloaded", 2)
            # What was accepted may be said again, and so may what follows a reply that is being written.
            assert (await place.say(second, "waits", "key")).turn == receipt.turn
            await place.say(first, "behind what is being answered")
            # As soon as workers have caught up there is room.
            while (await runs.wait(0.01, 10, runs.together[0]))[0]:
                pass
            await place.say(await place.conversation(), "now")

    run(story())


async def refused(place: Bench) -> bool:
    """Whether a message of a conversation of its own is refused."""
    return await refusal(place, 1) is not None


def test_one_turn_waits_for_eight_that_full_workers_run(server: str) -> None:
    async def story() -> None:
        async with bench(binaries()[server]) as place:
            runs = place.runs()
            await runs.prepare()
            for running in (1, 16):
                while (await place.client.multiplexer.call(("XPENDING", runs.all[0], "w")))[0] < running:
                    await place.say(await place.conversation(), "taken at once")
                    assert (await runs.wait(5, 1))[0]
                await runs.tell_full(60)
                for _ in range(max(1, running // 8)):
                    assert not await refused(place)
                assert await refused(place)
                assert (await runs.wait(5, 99))[0]
                assert not await refused(place), "nobody waits"
                assert (await runs.wait(5, 1))[0]

    run(story())


def test_what_waits_is_no_matter_while_a_worker_has_room(server: str) -> None:
    async def story() -> None:
        async with bench(binaries()[server]) as place:
            runs, other = place.runs(), place.runs("worker-b")
            await runs.prepare()
            for each in (runs, other):
                await place.say(await place.conversation(), "taken at once")
                await place.take(each)
            await runs.tell_full(60)
            assert not await refused(place)
            assert not await refused(place), "the other one will take it"
            await other.tell_full(0.05)
            assert await refused(place)
            while await refused(place):  # what was said of it is not believed for ever
                await asyncio.sleep(0.02)

    run(story())


def test_without_a_worker_everything_waits_for_one(server: str) -> None:
    async def story() -> None:
        async with bench(binaries()[server], limits=Limits(backlog=WAIT)) as place:
            assert await refusal(place, 5) is None
            runs = place.runs()
            await runs.prepare()
            await place.take(runs)
            assert await refusal(place, 100) is not None

    run(story())
