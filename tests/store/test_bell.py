"""The bell hears what is written, and says when it may have missed something."""

import asyncio
import contextlib

import pytest

from parley.core.errors import Unavailable
from parley.core.event import Entry
from parley.store.bell import Bell
from tests.redis_servers import binaries, running
from tests.store.harness import Bench, run

pytestmark = pytest.mark.parametrize("server", list(binaries()))


class Ears:
    """Remembers what a bell told."""

    def __init__(self, bench: Bench) -> None:
        self.heard: list[tuple[str, Entry]] = []
        self.resets = 0
        self.news = asyncio.Event()
        self.bell = Bell(bench.client, bench.keys, self._entry, self._reset)

    def _entry(self, conversation: str, entry: Entry) -> None:
        self.heard.append((conversation, entry))
        self.news.set()

    def _reset(self) -> None:
        self.resets += 1
        self.news.set()

    async def until(self, entries: int, resets: int = 0) -> None:
        while len(self.heard) < entries or self.resets < resets:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 5)


@contextlib.asynccontextmanager
async def ringing(bench: Bench):  # type: ignore[no-untyped-def]
    ears = Ears(bench)
    task = asyncio.create_task(ears.bell.run())
    try:
        yield ears
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_entries_are_heard_in_order(server: str) -> None:
    async def main() -> None:
        with running(binaries()[server]) as redis:
            bench = Bench(redis.url)
            await bench.runs().prepare()
            async with ringing(bench) as ears:
                mine, other = await bench.conversation(), await bench.conversation()
                await ears.bell.listen(mine)
                await bench.say(other, "unheard")
                await bench.say(mine, "heard")
                await bench.say(mine, "heard too")
                await ears.until(2)
                assert [name for name, _ in ears.heard] == [mine, mine]
                assert ears.heard[1][1].previous == ears.heard[0][1].cursor
                await ears.bell.unlisten(mine)
                await ears.bell.listen(other)
                await bench.say(mine, "unheard")
                await bench.say(other, "heard")
                await ears.until(3)
                assert ears.heard[2][0] == other
            await bench.client.aclose()

    run(main())


def test_a_lost_link_is_made_anew_and_told(server: str) -> None:
    async def main() -> None:
        with running(binaries()[server]) as redis:
            bench = Bench(redis.url)
            async with ringing(bench) as ears:
                conversation = await bench.conversation()
                await ears.bell.listen(conversation)
                await bench.client.client_kill_filter(_type="pubsub")
                await ears.until(0, resets=1)
                redis.restart()
                await ears.until(0, resets=2)
                await bench.say(conversation, "heard on the third link")
                await ears.until(1)
            await bench.client.aclose()

    run(main())


def test_no_store_no_listening(server: str) -> None:
    async def main() -> None:
        with running(binaries()[server]) as redis:
            bench = Bench(redis.url)
            conversation = await bench.conversation()
            redis.kill()
            async with ringing(bench) as ears:
                with pytest.raises(Unavailable):
                    await ears.bell.listen(conversation, patience=0.2)
            await bench.client.aclose()

    run(main())
