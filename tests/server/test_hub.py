"""The hub's own promises: shared readings, and a link that is made anew whatever broke it."""

import asyncio
from typing import Any, cast

from parley.core.event import Entry
from parley.server.hub import Feed
from parley.store.conversations import Conversations
from tests.server.harness import house, until
from tests.store.harness import run


class Slow:
    """A store whose readings take as long as the test likes."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.calls = 0
        self.gate = asyncio.Event()

    async def read(self, _: str, after: str, *, count: int) -> list[Entry]:
        self.calls += 1
        found = [entry for entry in self.entries if entry.cursor > after][:count]
        await self.gate.wait()
        return found


def test_only_who_asks_at_one_moment_shares_a_reading() -> None:
    """Whoever comes later has heard of more than a reading under way will tell."""

    async def main() -> None:
        store = Slow()
        feed = Feed("c", cast("Conversations", store))
        store.entries.append(Entry("1-1", "0-0", b'{"type":"deleted"}'))
        early = [asyncio.create_task(feed.read("0-0")) for _ in range(100)]
        other = asyncio.create_task(feed.read("1-1"))
        await asyncio.sleep(0.01)
        assert store.calls == 2
        store.entries.append(Entry("2-2", "1-1", b'{"type":"deleted"}'))
        late = asyncio.create_task(feed.read("0-0"))
        await asyncio.sleep(0.01)
        assert store.calls == 3
        early[0].cancel()
        store.gate.set()
        found: list[Any] = await asyncio.gather(*early, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert [len(each) for each in found[1:]] == [1] * 99
        assert len(await late or ()) == 2
        assert await other == []

    run(main())


def test_a_link_that_fails_is_made_anew() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await line.send(type="follow", conversation=name)
            await line.expect("snapshot")
            hub = home.served[0].server.app.parts.hub
            bell, failures = hub._bell, []
            ear = bell.ears.at(bell.nodes.known(b""))
            hear = bell.on_entry

            def fail(conversation: str, entry: Entry) -> None:
                """Something nobody thought of: it costs the link."""
                bell.on_entry = hear
                failures.append(ear._link)
                raise ZeroDivisionError

            bell.on_entry = fail
            await home.say(name, "unheard at first")
            assert (await line.expect("queued"))["conversation"] == name
            assert len(failures) == 1
            await until(lambda: ear._link not in (None, failures[0]))

    run(main())
