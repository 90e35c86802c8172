"""The appender: whatever becomes of its link and its script, the log has the reply's bytes, each once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import exceptions

from parley.core.pieces import Piece
from parley.core.reply import Reply
from parley.store.appender import Appender, Writing
from parley.store.cancelling import cancel
from tests.redis_servers import binaries
from tests.store.harness import Bench, bench, run

WORDS = [f"word{number} " for number in range(60)]


class Desk:
    """A turn being written."""

    def __init__(self, made: Bench, appender: Appender, conversation: str, writing: Writing) -> None:
        self.bench = made
        self.appender = appender
        self.conversation = conversation
        self.writing = writing
        self.lost: list[str] = []

    def add(self, text: str) -> None:
        self.writing.reply.add(Piece(text))
        self.appender.notify(self.writing)

    async def settled(self) -> None:
        async with asyncio.timeout(20):
            while self.writing.reply.sent < self.writing.reply.length:
                await asyncio.sleep(0.002)

    async def text(self) -> str:
        view = await self.bench.view(self.conversation)
        return view.turns[self.writing.grant.turn.id].body.decode()


@contextlib.asynccontextmanager
async def desk(binary: Path | None = None) -> AsyncIterator[Desk]:
    async with bench(binary) as made:
        runs = made.runs()
        conversation = await made.conversation()
        await made.say(conversation, "hello")
        grant = await made.take(runs)
        appender = Appender(made.client, made.keys)
        task = asyncio.create_task(appender.run())
        lost: list[str] = []
        it = Desk(made, appender, conversation, appender.write(grant, Reply(), lambda: lost.append("lost")))
        it.lost = lost
        try:
            yield it
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.parametrize("command", [("SCRIPT", "FLUSH"), ("CLIENT", "KILL", "TYPE", "normal"), ("PING",)])
def test_the_log_has_every_byte_once(command: tuple[str, ...]) -> None:
    async def main() -> None:
        async with desk() as it:
            for number, word in enumerate(WORDS):
                it.add(word)
                if number % 10 == 5:
                    with contextlib.suppress(Exception):  # it may cut its own connection
                        await it.bench.command(*command)
                await asyncio.sleep(0.003)
            await it.settled()
            assert await it.text() == "".join(WORDS)
            assert it.lost == []

    run(main())


@pytest.mark.parametrize("server", list(binaries()))
@pytest.mark.parametrize(
    ("leave", "return_"),
    [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ],
)
def test_a_server_that_is_no_primary_for_a_while(server: str, leave: str, return_: str) -> None:
    """Redis 6.2 says READONLY in the middle of a sentence when a script met with it: the turn was given up."""

    async def main() -> None:
        async with desk(binaries()[server]) as it:
            it.add(WORDS[0])
            await it.settled()
            await it.bench.command(*leave.split())
            before = await errors(it.bench)
            for word in WORDS[1:]:
                it.add(word)
            async with asyncio.timeout(10):
                while await errors(it.bench) < before + 2:
                    await asyncio.sleep(0.01)
            assert it.lost == []
            await it.bench.command(*return_.split())
            await it.settled()
            assert await it.text() == "".join(WORDS)
            assert it.lost == []

    async def errors(made: Bench) -> int:
        return int((await made.client.info("stats"))["total_error_replies"])

    run(main())


def test_pieces_of_a_busy_moment_go_together() -> None:
    async def main() -> None:
        async with desk() as it:
            it.add(WORDS[0])
            await it.settled()
            before = await calls(it.bench)
            for word in WORDS[1:]:
                it.add(word)
            await it.settled()
            assert await calls(it.bench) - before <= 2
            assert await it.text() == "".join(WORDS)

    async def calls(made: Bench) -> int:
        return int((await made.client.info("commandstats"))["cmdstat_evalsha"]["calls"])

    run(main())


def test_what_is_held_is_left_alone() -> None:
    async def main() -> None:
        async with desk() as it:
            it.add("a")
            await it.appender.hold(it.writing)
            it.add("b")
            await asyncio.sleep(0.05)
            assert it.writing.reply.sent <= 1
            it.appender.release(it.writing)
            await it.settled()
            assert await it.text() == "ab"

    run(main())


def test_a_turn_that_is_not_ours_any_more_is_told_once() -> None:
    async def main() -> None:
        async with desk() as it:
            it.add("a")
            await it.settled()
            assert (await it.bench.conversations.cancel(it.conversation, it.writing.grant.turn.id))[0]
            it.add("b")
            it.add("c")
            async with asyncio.timeout(10):
                while not it.lost:
                    await asyncio.sleep(0.002)
            it.add("d")
            await asyncio.sleep(0.05)
            assert it.lost == ["lost"]
            assert await it.text() == "a"

    run(main())


class Deaf:
    """A connection that is told to go while it is made, and makes a lost connection of that, as redis-py's can."""

    def __init__(self) -> None:
        self.told = 0

    async def connect(self) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.told += 1
            raise exceptions.ConnectionError from None

    async def disconnect(self, **_: bool) -> None:
        pass


def test_who_is_told_to_go_while_connecting_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of tasks tells each of its own once, and waits for it."""

    async def main() -> None:
        async with bench() as made:
            deaf = Deaf()
            monkeypatch.setattr(made.client.connection_pool, "make_connection", lambda: deaf)
            task = asyncio.create_task(Appender(made.client, made.keys).run())
            await asyncio.sleep(0.05)
            async with asyncio.timeout(10):
                await cancel(task)
            assert deaf.told == 1

    run(main())
