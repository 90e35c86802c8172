"""A follower against a log that is written, trimmed, replaced and out of reach, while the bell loses what it likes.

Seeded random walks: whatever happens, what the client was sent must be one chain, and end where the log ends.
"""

import asyncio
import json
import random
from collections.abc import Sequence

import pytest

from parley.core.errors import Gone, Unavailable
from parley.core.event import Entry
from parley.server import follower as module
from parley.server.follower import Follower, is_older
from parley.server.outbox import Frame, Outbox, entry_frame
from tests.store.harness import run


class Log:
    """A log in memory: what store.conversations does for a follower."""

    def __init__(self, chance: random.Random) -> None:
        self.entries: list[Entry] = []
        self.last = "0-0"
        self.clock = 1_000
        self.away = False
        self.deleted = False
        self.chance = chance

    def append(self) -> Entry:
        self.clock += 1
        cursor = f"{int(self.last.split('-')[0]) + 1}-{self.clock}"
        turn = f"{self.chance.getrandbits(64):016x}"
        entry = Entry(cursor, self.last, b'{"type":"delta","turn":"%s","gen":1}' % turn.encode())
        self.entries.append(entry)
        self.last = cursor
        return entry

    def roll_back(self, count: int) -> None:
        """The database is restored from a while ago; the clock goes on."""
        del self.entries[-count:]
        self.last = self.entries[-1].cursor if self.entries else "0-0"

    async def read(self, after: str) -> Sequence[Frame] | None:
        await asyncio.sleep(0)
        self._reach()
        # What stands now; it reaches the follower a moment later.
        behind = [entry for entry in self.entries if position(entry.cursor) > position(after)][: module.PAGE]
        good = behind[0].previous == after if behind else self.last == after
        await asyncio.sleep(0)
        return [entry_frame("c", entry) for entry in behind] if good else None

    async def snapshot(self, turns: int, name: str | None) -> Frame:
        await asyncio.sleep(0)
        self._reach()
        if self.deleted:
            raise Gone("conversation_deleted", "")
        cursor = self.last
        await asyncio.sleep(0)
        return Frame("snapshot", json.dumps({"cursor": cursor, "id": name}).encode(), cursor)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("store_unreachable", "")


def position(cursor: str) -> tuple[int, int]:
    number, _, clock = cursor.partition("-")
    return int(number), int(clock)


class Client:
    """Takes what it is sent and checks that it is one chain."""

    def __init__(self, log: Log, outbox: Outbox) -> None:
        self.log = log
        self.outbox = outbox
        self.cursor = ""
        self.known = {"0-0": "?"}
        self.kinds: list[str] = []

    def check(self, frame: Frame, previous: dict[str, str]) -> None:
        self.kinds.append(frame.kind)
        if frame.kind == "delta":
            assert previous[frame.cursor] == self.cursor, "the chain is broken"
        if frame.cursor:
            self.cursor = frame.cursor


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_bell_loses_the_chain_is_whole(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        log = Log(chance)
        previous: dict[str, str] = {}
        outbox = Outbox(10_000_000)
        for _ in range(chance.randrange(5)):
            entry = log.append()
            previous[entry.cursor] = entry.previous
        follower = Follower("c", outbox, log.read, log.snapshot, 50)
        client = Client(log, outbox)
        after = chance.choice([None, "0-0", "1-7", log.last])
        client.cursor = after or ""
        begun = asyncio.create_task(follower.begin(after, None, None))
        late: list[Entry] = []
        for _ in range(400):
            what = chance.random()
            if what < 0.5:
                entry = log.append()
                previous[entry.cursor] = entry.previous
                told = chance.random()
                if told < 0.7:
                    follower.hear(entry, entry_frame("c", entry))
                elif told < 0.85:
                    late.append(entry)
            elif what < 0.55 and late:
                entry = late.pop(chance.randrange(len(late)))
                follower.hear(entry, entry_frame("c", entry))
            elif what < 0.58:
                del log.entries[: chance.randrange(len(log.entries) + 1)]
            elif what < 0.6 and log.entries:
                log.roll_back(chance.randrange(1, len(log.entries) + 1))
                late.clear()
                follower.repair()  # its link was lost with the database
            elif what < 0.62:
                log.away = begun.done()
            elif what < 0.8:
                log.away = False
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        log.away = False
        await begun
        follower.repair()  # the link was made anew
        deadline = asyncio.get_running_loop().time() + 5
        while follower.behind:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.001)
        outbox.close(1000)
        while (frame := await outbox.take()) is not None:
            client.check(frame, previous)
        assert client.cursor == follower.cursor == log.last
        assert client.kinds

    run(main())


def test_the_last_entry_is_not_lost_when_it_was_heard_during_a_repair() -> None:
    async def main() -> None:
        log = Log(random.Random(1))
        outbox = Outbox(10_000)
        follower = Follower("c", outbox, log.read, log.snapshot, 50)
        await follower.begin("0-0", None, None)
        log.append()  # missed
        second = log.append()
        follower.hear(second, entry_frame("c", second))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the log has been read, and the answer is under way
        third = log.append()
        follower.hear(third, entry_frame("c", third))
        while follower.behind:
            await asyncio.sleep(0)
        assert follower.cursor == third.cursor

    run(main())


def test_an_entry_heard_twice_is_sent_once() -> None:
    async def main() -> None:
        log = Log(random.Random(1))
        outbox = Outbox(10_000)
        follower = Follower("c", outbox, log.read, log.snapshot, 50)
        await follower.begin("0-0", None, None)
        entries = [log.append() for _ in range(3)]
        for entry in [*entries, *entries]:
            follower.hear(entry, entry_frame("c", entry))
        assert not follower.behind
        outbox.close(1000)
        sent = []
        while (frame := await outbox.take()) is not None:
            sent.append(frame.cursor)
        assert sent == [entry.cursor for entry in entries]

    run(main())


def test_a_repair_waits_for_a_reader_that_takes_its_time() -> None:
    async def main() -> None:
        log = Log(random.Random(1))
        outbox = Outbox(500)
        for _ in range(200):
            log.append()
        follower = Follower("c", outbox, log.read, log.snapshot, 50)
        await follower.begin("0-0", None, None)
        sent: list[str] = []
        while len(sent) < 200:
            frame = await asyncio.wait_for(outbox.take(), 5)
            assert frame is not None
            sent.append(frame.cursor)
            await asyncio.sleep(0)
        assert outbox.closing is None
        assert sent[-1] == log.last

    run(main())


def test_a_conversation_that_went_away_is_told_as_deleted() -> None:
    async def main() -> None:
        log = Log(random.Random(1))
        outbox = Outbox(10_000)
        follower = Follower("c", outbox, log.read, log.snapshot, 50)
        await follower.begin(None, None, "f")
        log.append()
        log.entries.clear()
        log.deleted = True
        follower.repair()
        kinds = []
        for _ in range(2):
            frame = await asyncio.wait_for(outbox.take(), 5)
            assert frame is not None
            kinds.append(frame.kind)
        assert kinds == ["snapshot", "deleted"]
        assert follower.over

    run(main())


def test_whoever_left_is_sent_nothing() -> None:
    async def main() -> None:
        log = Log(random.Random(1))
        outbox = Outbox(10_000)
        follower = Follower("c", outbox, log.read, log.snapshot, 50)
        await follower.begin("0-0", None, None)
        follower.repair()
        follower.leave()
        entry = log.append()
        follower.hear(entry, entry_frame("c", entry))
        follower.repair()
        for _ in range(10):
            await asyncio.sleep(0)
        outbox.close(1000)
        assert await outbox.take() is None

    run(main())


def test_older_is_by_number_and_clock() -> None:
    assert is_older("3-30", "3-30")
    assert is_older("2-20", "3-30")
    assert not is_older("4-40", "3-30")
    assert not is_older("2-40", "3-30")  # issued again after a rollback
