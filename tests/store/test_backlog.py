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


def test_without_a_worker_everything_waits_for_one(server: str) -> None:
    async def story() -> None:
        async with bench(binaries()[server], limits=Limits(backlog=WAIT)) as place:
            assert await refusal(place, 5) is None
            runs = place.runs()
            await runs.prepare()
            await place.take(runs)
            assert await refusal(place, 100) is not None

    run(story())
