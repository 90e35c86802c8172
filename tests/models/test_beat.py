"""The beat: few readers read as they please, many read together."""

import asyncio

from parley.models.beat import LONGEST, Beat


def test_few_readers_do_not_wait() -> None:
    async def story() -> None:
        beat = Beat()
        beat.readers = 6
        waiting = asyncio.create_task(beat.wait())
        await asyncio.sleep(0)
        assert waiting.done()

    asyncio.run(story())


def test_many_readers_wake_in_one_round_of_the_loop() -> None:
    async def story() -> list[str]:
        beat = Beat()
        beat.readers = 1000
        woken: list[str] = []

        async def reader(name: str) -> None:
            await beat.wait()
            woken.append(name)

        loop = asyncio.get_running_loop()
        began = loop.time()
        first, second = asyncio.create_task(reader("first")), asyncio.create_task(reader("second"))
        gone = asyncio.create_task(reader("gone"))
        third = asyncio.create_task(reader("third"))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        assert loop.time() - began >= LONGEST * 0.9
        assert woken == ["first", "second", "third"]
        await asyncio.gather(second, third)
        # The next beat is another one.
        fourth = asyncio.create_task(reader("fourth"))
        await asyncio.sleep(0)
        assert not fourth.done()
        await fourth
        return woken

    assert asyncio.run(story())[-1] == "fourth"
