"""At maxmemory (D5): what is new is refused whole, and what runs can still end."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parley.core.about import About
from parley.core.errors import Unavailable
from parley.core.message import Message
from parley.core.turn import Outcome, Private, Request, Turn
from parley.store.runs import Grant, Runs
from parley.store.sessions import Sessions
from tests.redis_servers import binaries
from tests.store.harness import Bench, bench, run

pytestmark = pytest.mark.parametrize("server", list(binaries()))


class Full:
    """A server without room for one more byte, in the middle of a reply; another message waits."""

    def __init__(self, b: Bench, runs: Runs, conversation: str, grant: Grant, waiting: str) -> None:
        self.b = b
        self.runs = runs
        self.conversation = conversation
        self.grant = grant
        self.waiting = waiting

    async def state(self) -> dict[str | bytes, Any]:
        """Everything that is stored."""
        return {key: await self.b.client.dump(key) for key in sorted(await self.b.client.keys("*"))}


@contextlib.asynccontextmanager
async def full(server: str) -> AsyncIterator[Full]:
    async with bench(binaries()[server]) as b:
        conversation = await b.conversation()
        await b.say(conversation, "one", key="k")
        waiting = (await b.say(conversation, "two")).turn
        runs = b.runs("a")
        grant = await b.take(runs)
        await b.append(runs, grant, 0, "so ", "far")
        assert await b.runs("b").evict("b") == 0
        await b.client.config_set("maxmemory", "1")
        try:
            yield Full(b, runs, conversation, grant, waiting)
        finally:
            await b.client.config_set("maxmemory", "0")


def test_what_is_new_is_refused_whole(server: str) -> None:
    async def main() -> None:
        async with full(server) as f:
            before = await f.state()
            old = Turn("0" * 16, "", 1, Request((Message("user", "x"),)), "completed", Outcome("completed"))
            refused = [
                f.b.say(f.conversation, "three"),
                f.b.say(f.conversation, "three", policy="interrupt"),
                f.b.conversation(),
                f.b.conversations.change(f.conversation, About(title="new")),
                f.b.conversations.copy(f.conversation, [(old, Private())]),
                f.b.conversations.note("me", f.conversation),
                f.b.append(f.runs, f.grant, 6, "more"),
                f.runs.rewind(f.grant, 1, 3),
                f.runs.delay(f.grant, "busy", 1),
                Sessions(f.b.client, f.b.keys, f.b.lifetimes).open("token", "Ann"),
            ]
            for call in refused:
                with pytest.raises(Unavailable) as error:
                    await call
                assert error.value.code == "storage_full"
            assert await f.state() == before

    run(main())


def test_a_reply_still_ends_with_all_of_its_text(server: str) -> None:
    async def main() -> None:
        async with full(server) as f:
            await f.runs.final(f.grant, 1, 6, "completed", b',"model":"m"', ["", " and the rest"])
            snapshot = await f.b.conversations.snapshot(f.conversation)
            outcome = snapshot.turns[0].outcome
            assert outcome is not None
            assert (outcome.status, outcome.body, outcome.pieces.split()) == (
                "completed",
                "so far and the rest",
                ["3", "3", "13"],
            )
            assert snapshot.waiting == (f.waiting,)
            await f.b.client.config_set("maxmemory", "0")
            assert (await f.b.take(f.runs)).turn.id == f.waiting

    run(main())


def test_a_reply_can_still_be_stopped(server: str) -> None:
    async def main() -> None:
        async with full(server) as f:
            assert await f.b.conversations.cancel(f.conversation, f.waiting) == (True, "cancelled")
            assert await f.b.conversations.cancel(f.conversation, f.grant.turn.id) == (True, "cancelled")
            assert await f.b.conversations.cancel(f.conversation, f.grant.turn.id) == (False, "cancelled")
            snapshot = await f.b.conversations.snapshot(f.conversation)
            assert [turn.status for turn in snapshot.turns] == ["cancelled", "cancelled"]
            assert snapshot.turns[0].outcome is not None
            assert snapshot.turns[0].outcome.body == "so far"
            assert await f.b.client.xlen(f.b.keys.queue("00").decode()) == 0

    run(main())


def test_a_turn_can_still_be_handed_over_and_its_lease_kept(server: str) -> None:
    async def main() -> None:
        async with full(server) as f:
            assert await f.runs.renew(f.grant, patience=1)
            await f.runs.handoff(f.grant)
            other = f.b.runs("b")
            assert (await other.wait(1))[1]
            claim = (await other.scan(5))[0]
            with pytest.raises(Unavailable):
                await other.acquire(claim, "second")
            await f.b.client.config_set("maxmemory", "0")
            grant = await other.acquire(claim, "second")
            assert grant is not None
            assert (grant.partial.body, grant.attempt) == ("so far", 1)

    run(main())


def test_a_dead_worker_can_still_be_evicted(server: str) -> None:
    async def main() -> None:
        async with full(server) as f:
            assert await f.b.runs("b").evict("a") == 1
            assert len(await f.b.runs("b").scan(5)) == 1

    run(main())


def test_room_can_be_made(server: str) -> None:
    async def main() -> None:
        async with full(server) as f:
            await f.runs.fold(f.conversation)
            assert await f.b.conversations.delete(f.conversation)
            with pytest.raises(Unavailable):
                await f.b.conversation()
            await f.b.client.config_set("maxmemory", "0")
            assert await f.b.conversation()

    run(main())
