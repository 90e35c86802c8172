"""The life of a turn, script by script, on every server there is, and on one that is a cluster."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any

import pytest

from parley.core.about import About
from parley.core.cursor import START
from parley.core.errors import Conflict, Gone, NotFound, TooMany
from parley.core.limits import Limits, Timing
from parley.core.message import Message
from parley.core.turn import Outcome, Private, Request, Turn
from parley.store.runs import Fenced, Offset, Runs
from tests.redis_cluster import clustered
from tests.redis_servers import binaries
from tests.store.harness import Bench, bench, on

CLUSTER = "cluster"

pytestmark = pytest.mark.parametrize("server", [*binaries(), CLUSTER])


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of one node, for all of these tests."""
    with clustered(primaries=1, replicas=0) as made:
        yield made.url


Test = Callable[[Bench], Coroutine[Any, Any, None]]


def on_bench(test: Test) -> Callable[[str, pytest.FixtureRequest], None]:
    """Run an asynchronous test on a bench of its own."""

    @wraps(test)
    def ran(server: str, request: pytest.FixtureRequest) -> None:
        shared = request.getfixturevalue("cluster") if server == CLUSTER else ""

        async def main() -> None:
            async with on(shared) if shared else bench(binaries()[server]) as made:
                await asyncio.wait_for(test(made), 30)

        asyncio.run(main())

    del ran.__wrapped__
    return ran


@on_bench
async def test_a_turn_is_answered(b: Bench) -> None:
    conversation = await b.conversation(title="Capitals")
    receipt = await b.say(conversation, "Italy?")
    assert (receipt.status, receipt.position, receipt.replayed) == ("queued", 0, False)
    runs = b.runs()
    grant = await b.take(runs)
    assert grant.turn.request.input[0].content == "Italy?"
    assert await b.append(runs, grant, 0, "Ro", "me") == [b"OK", 4]
    await runs.final(grant, 1, 4, "completed", b',"model":"m"', ["", "."])
    view = await b.view(conversation)
    shown = view.turns[receipt.turn]
    assert (shown.status, shown.body, shown.pieces) == ("completed", b"Rome.", "2 2 1")
    snapshot = await b.conversations.snapshot(conversation)
    outcome = snapshot.turns[0].outcome
    assert outcome is not None
    assert (outcome.body, outcome.pieces.split(), outcome.model) == ("Rome.", ["2", "2", "1"], "m")
    assert snapshot.running is None
    assert snapshot.waiting == ()
    for key in b.keys.conversation(conversation)[7:9]:
        assert not await b.server.exists(key) or not await b.command("XLEN", key)


@on_bench
async def test_turns_of_one_conversation_run_one_after_the_other(b: Bench) -> None:
    conversation = await b.conversation()
    first, second = await b.say(conversation, "one"), await b.say(conversation, "two")
    assert second.position == 1
    runs = b.runs()
    grant = await b.take(runs)
    assert grant.turn.id == first.turn
    assert (await runs.wait(0.01))[0] == []
    await runs.final(grant, 1, 0, "completed", b"", ["", "1"])
    grant = await b.take(runs)
    assert grant.turn.id == second.turn
    assert [turn.id for turn in await runs.path(grant, turns=9, size=10**6)] == [first.turn]
    await runs.final(grant, 1, 0, "completed", b"", ["", "2"])


@on_bench
async def test_the_same_key_is_the_same_turn(b: Bench) -> None:
    conversation = await b.conversation()
    first = await b.say(conversation, "one", key="k")
    again = await b.say(conversation, "one", key="k")
    assert (again.turn, again.replayed, again.status) == (first.turn, True, "queued")
    with pytest.raises(Conflict):
        await b.say(conversation, "other", key="k")
    await b.take(b.runs())
    assert (await b.say(conversation, "one", key="k")).status == "in_progress"


@on_bench
async def test_a_lost_owner_is_fenced_out(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    a, c = b.runs("a"), b.runs("c")
    old = await b.take(a)
    await b.append(a, old, 0, "Hel")
    await asyncio.sleep(b.timing.lease + 0.05)
    new = await b.take(c)
    assert (new.partial.body, new.attempt) == ("Hel", 1)
    assert await b.append(a, old, 3, "XXX") == [b"FENCED"]
    assert not await a.renew(old, patience=1)
    with pytest.raises(Fenced):
        await a.final(old, 1, 3, "completed", b"", [])
    await c.final(new, 1, 3, "completed", b"", ["", "lo"])
    assert (await b.view(conversation)).takeovers == 1


@on_bench
async def test_appending_twice_adds_once(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    runs = b.runs()
    grant = await b.take(runs)
    for _ in range(3):
        assert await b.append(runs, grant, 0, "é", "t") == [b"OK", 3]
    assert await b.append(runs, grant, 7, "x") == [b"OFFSET", 3]
    with pytest.raises(Offset):
        await runs.final(grant, 1, 9, "completed", b"", [])
    for _ in range(2):
        await runs.final(grant, 1, 3, "completed", b"", ["", "!"])
    shown = (await b.view(conversation)).turns[grant.turn.id]
    assert (shown.body.decode(), shown.pieces) == ("ét!", "2 1 1")


@on_bench
async def test_rewind_cuts_and_counts_generations(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    runs = b.runs()
    grant = await b.take(runs)
    await b.append(runs, grant, 0, "abc", "def")
    for _ in range(2):
        assert await runs.rewind(grant, 1, 4) == 2
    assert await b.append(runs, grant, 4, "x", gen=1) == [b"FENCED"]
    assert await b.append(runs, grant, 4, "XY", gen=2) == [b"OK", 6]
    shown = (await b.view(conversation)).turns[grant.turn.id]
    assert (shown.body, shown.pieces, shown.gen) == (b"abcdXY", "3 1 2", 2)
    with pytest.raises(Offset):
        await runs.rewind(grant, 2, 99)


@on_bench
async def test_stop_takes_effect_at_once(b: Bench) -> None:
    conversation = await b.conversation()
    first, second = await b.say(conversation, "one"), await b.say(conversation, "two")
    runs = b.runs()
    grant = await b.take(runs)
    await b.append(runs, grant, 0, "so far")
    assert await b.conversations.cancel(conversation, first.turn) == (True, "cancelled")
    assert await b.conversations.cancel(conversation, first.turn) == (False, "cancelled")
    assert await b.append(runs, grant, 6, "more") == [b"FENCED"]
    view = await b.view(conversation)
    assert view.turns[first.turn].body == b"so far"
    assert (await b.take(runs)).turn.id == second.turn
    with pytest.raises(NotFound):
        await b.conversations.cancel(conversation, "0" * 16)


@on_bench
async def test_a_waiting_turn_can_be_withdrawn(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "one")
    second = await b.say(conversation, "two")
    await b.conversations.cancel(conversation, second.turn)
    runs = b.runs()
    grant = await b.take(runs)
    await runs.final(grant, 1, 0, "completed", b"", [])
    assert (await runs.wait(0.01))[0] == []
    assert (await b.view(conversation)).turns[second.turn].status == "cancelled"


@on_bench
async def test_policies_for_a_second_message(b: Bench) -> None:
    conversation = await b.conversation()
    first = await b.say(conversation, "one")
    with pytest.raises(Conflict):
        await b.say(conversation, "two", policy="reject")
    runs = b.runs()
    grant = await b.take(runs)
    third = await b.say(conversation, "three", policy="interrupt")
    with pytest.raises(Fenced):
        await runs.final(grant, 1, 0, "completed", b"", [])
    assert (await b.view(conversation)).turns[first.turn].status == "cancelled"
    assert (await b.take(runs)).turn.id == third.turn


@on_bench
async def test_handing_over_is_immediate_and_free(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    a, c = b.runs("a"), b.runs("c")
    grant = await b.take(a)
    await b.append(a, grant, 0, "part")
    await a.handoff(grant)
    assert (await c.wait(1))[1]
    claims = await c.scan(5)
    new = await c.acquire(claims[0], "fence-2")
    assert new is not None
    assert (new.attempt, new.partial.body) == (1, "part")


@on_bench
async def test_a_dead_worker_is_evicted(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    a, c = b.runs("a"), b.runs("c")
    await b.take(a)
    assert await c.evict("a") == 1
    assert (await c.wait(1))[1]
    assert len(await c.scan(5)) == 1


@on_bench
async def test_a_poison_turn_is_dead_lettered(b: Bench) -> None:
    conversation = await b.conversation()
    receipt = await b.say(conversation, "poison")
    for attempt in range(1, b.timing.attempts + 1):
        runs = b.runs(f"w{attempt}")
        grant = await b.take(runs)
        assert grant.attempt == attempt
        await runs.evict(f"w{attempt}")
    runs = b.runs("last")
    assert await runs.acquire(await b.claim(runs), "f") is None
    snapshot = await b.conversations.snapshot(conversation)
    outcome = snapshot.turns[0].outcome
    assert outcome is not None
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "worker_lost")
    assert await b.server.llen(b.keys.conversation(conversation)[9].decode()) == 1
    assert receipt.turn == snapshot.turns[0].id


@on_bench
async def test_ended_turns_are_folded(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    runs = b.runs()
    grant = await b.take(runs)
    await b.append(runs, grant, 0, "x")
    stale = await b.view(conversation)
    for at in range(1, 200):
        await b.append(runs, grant, at, "x")
    await runs.final(grant, 1, 200, "completed", b"", [])
    before = await b.command("MEMORY", "USAGE", b.keys.log(conversation))
    await runs.fold(conversation)
    after = await b.command("MEMORY", "USAGE", b.keys.log(conversation))
    assert after < before / 2
    assert await b.conversations.read(conversation, stale.cursor) is None
    assert (await b.view(conversation, stale)).turns[grant.turn.id].pieces == " ".join(["1"] * 200)


@on_bench
async def test_a_deleted_conversation_says_so(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    runs = b.runs()
    grant = await b.take(runs)
    view = await b.view(conversation)
    assert await b.conversations.delete(conversation)
    assert await b.append(runs, grant, 0, "x") == [b"FENCED"]
    entries = await b.conversations.read(conversation, view.cursor)
    assert entries is not None
    assert b'"deleted"' in entries[-1].data
    with pytest.raises(Gone):
        await b.say(conversation, "again")
    with pytest.raises(Gone):
        await b.conversations.snapshot(conversation)
    assert (await runs.wait(0.01))[0] == []


@on_bench
async def test_all_keys_expire_together(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "one")
    await b.say(conversation, "two")
    runs = b.runs()
    grant = await b.take(runs)
    await b.append(runs, grant, 0, "x")
    await runs.renew(grant, patience=1)
    own = b.keys.conversation(conversation)[:7]
    left = [await b.server.pttl(key.decode()) for key in own]
    assert min(left) > 86_000_000
    assert max(left) - min(left) < 1000


@on_bench
async def test_looking_at_a_conversation_keeps_it_alive(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    await b.take(b.runs())
    own = [key.decode() for key in b.keys.conversation(conversation)[:7]]
    for key in own:
        await b.server.pexpire(key, 70_000_000)
    await b.conversations.snapshot(conversation, turns=0)
    assert await b.server.pttl(own[0]) <= 70_000_000
    await b.conversations.snapshot(conversation)
    left = [await b.server.pttl(key) for key in own if await b.server.exists(key)]
    assert min(left) > 86_000_000


@on_bench
async def test_caps_refuse_and_change_nothing(b: Bench) -> None:
    conversation = await b.conversation()
    b.conversations._limits = Limits(queue=2)
    await b.say(conversation, "one")
    await b.say(conversation, "two")
    before = await b.view(conversation)
    with pytest.raises(TooMany):
        await b.say(conversation, "three")
    assert (await b.view(conversation, await b.view(conversation))).cursor == before.cursor


@on_bench
async def test_a_turn_that_waited_too_long_fails(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    await asyncio.sleep(0.05)
    b.timing = Timing(queue_wait=0.01)
    runs = b.runs()
    assert await runs.acquire(await b.claim(runs), "f") is None
    snapshot = await b.conversations.snapshot(conversation)
    assert snapshot.turns[0].status == "failed"


@on_bench
async def test_places_of_an_upstream_are_counted_over_workers(b: Bench) -> None:
    a, c = b.runs("a"), b.runs("c")
    assert await a.take_slot("m", "one", 2)
    assert await c.take_slot("m", "two", 2)
    assert not await c.take_slot("m", "three", 2)
    assert await a.take_slot("m", "one", 2)
    await a.free_slot("m", "one")
    assert await c.take_slot("m", "three", 2)
    await asyncio.sleep(b.timing.lease + 0.05)
    assert await c.take_slot("m", "four", 2)


@on_bench
async def test_an_expired_conversation_leaves_nothing_active(b: Bench) -> None:
    """Its token outlives it; a conversation of the same name that is there by then must not hide the leftover."""
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    keys = b.keys.conversation(conversation)
    await b.server.delete(*keys[:7])
    await b.conversations.create(conversation, "me", About())
    runs = b.runs()
    assert await runs.acquire(await b.claim(runs), "f") is None
    assert await b.server.zcard(keys[8]) == 0


@on_bench
async def test_a_superseded_fence_never_comes_back(b: Bench) -> None:
    """A late copy of the acquire must not wake a holder that remembers another text: two answers would be glued."""
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    runs = b.runs()
    old = await b.take(runs)
    await asyncio.sleep(b.timing.lease + 0.05)
    new = await b.take(runs)
    assert await b.append(runs, new, 0, "new") == [b"OK", 3]
    assert await runs.acquire(old.claim, old.fence) is None
    assert await b.append(runs, old, 3, "old") == [b"FENCED"]
    await runs.handoff(new)
    assert await runs.acquire(new.claim, new.fence) is None


@on_bench
async def test_a_snapshot_holds_every_turn_that_waits(b: Bench) -> None:
    """However few are asked for: else a viewer would be told of the end of a turn it never heard of."""
    conversation = await b.conversation()
    receipts = [await b.say(conversation, text) for text in ("one", "two", "three")]
    await b.conversations.cancel(conversation, receipts[0].turn)
    snapshot = await b.conversations.snapshot(conversation, turns=1)
    assert [turn.id for turn in snapshot.turns] == [receipt.turn for receipt in receipts[1:]]
    assert (snapshot.first, snapshot.total) == (1, 3)
    assert (await b.conversations.snapshot(conversation, turns=0)).turns == ()


@on_bench
async def test_importing_turns_makes_every_viewer_look_again(b: Bench) -> None:
    """No event tells of imported turns: a viewer that just went on would never show them."""
    conversation = await b.conversation()
    await b.say(conversation, "hello")
    before = await b.view(conversation)
    turn = Turn("0" * 16, "", 1, Request((Message("user", "old"),)), "completed", Outcome("completed", "answer", "6"))
    assert await b.conversations.copy(conversation, [(turn, Private())]) == 1
    assert await b.conversations.read(conversation, before.cursor) is None
    assert await b.conversations.read(conversation, START) is None
    assert (await b.view(conversation, before)).turns[turn.id].body == b"answer"
    assert await b.conversations.copy(conversation, [(turn, Private())]) == 0
    assert await b.conversations.read(conversation, before.cursor) == []


@on_bench
async def test_lost_tokens_are_put_back(b: Bench) -> None:
    runs = b.runs("a")
    queue = b.keys.queue("00").decode()
    conversation, other = await b.conversation(), await b.conversation()
    turn = (await b.say(conversation, "one")).turn
    waiting = (await b.say(other, "two")).turn
    assert await runs.audit(0.001) == 0  # both are still to be delivered
    grant = await b.take(runs)
    assert grant.turn.id == turn
    assert await audited(runs) == 0  # one is held, one is to be delivered
    await b.server.xgroup_delconsumer(queue, "w", "a")
    assert await runs.renew(grant, patience=1)  # a worker that lives holds it again
    assert await audited(runs) == 0
    await b.server.xgroup_delconsumer(queue, "w", "a")
    assert await audited(runs) == 1
    assert await audited(runs) == 0
    assert {(await b.take(b.runs("b"))).turn.id for _ in range(2)} == {turn, waiting}
    await b.server.delete(queue)
    await runs.prepare()
    assert await audited(runs) == 2
    assert {(await b.take(b.runs("b"))).turn.id for _ in range(2)} == {turn, waiting}


async def audited(runs: Runs) -> int:
    """Have everything looked after, whenever that was done last."""
    await runs.client.multiplexer.call(("DEL", *map(runs.keys.audited, runs.keys.shards)))
    return await runs.audit(60)


@on_bench
async def test_what_is_active_no_more_is_forgotten(b: Bench) -> None:
    conversation = await b.conversation()
    await b.server.zadd(b.keys.active("00").decode(), {conversation: 1, "conv_" + "0" * 34: 2})
    assert await audited(b.runs()) == 0
    assert await b.server.zcard(b.keys.active("00").decode()) == 0


@on_bench
async def test_a_group_that_was_destroyed_is_made_again_under_way(b: Bench) -> None:
    runs = b.runs("a")
    await b.say(await b.conversation(), "one")
    grant = await b.take(runs)
    await b.server.xgroup_destroy(b.keys.queue("00").decode(), "w")
    assert await runs.renew(grant, patience=1)
    await runs.final(grant, 1, 0, "completed", b"", ["", "done"])
    assert await b.server.xlen(b.keys.queue("00").decode()) == 0


@on_bench
async def test_a_repeated_post_brings_a_lost_token_back(b: Bench) -> None:
    conversation = await b.conversation()
    await b.say(conversation, "hello", key="k")
    runs = b.runs()
    grant = await b.take(runs)
    queue = b.keys.queue("00").decode()
    await b.command("XACK", queue, "w", grant.claim.token)
    await b.server.xdel(queue, grant.claim.token)
    for _ in range(2):
        assert (await b.say(conversation, "hello", key="k")).status == "in_progress"
    assert await b.server.xlen(queue) == 1
    again = await b.take(runs)
    assert (again.turn.id, again.attempt) == (grant.turn.id, 2)
    await runs.final(again, 1, 0, "completed", b"", ["", "x"])
    assert await b.server.xlen(queue) == 0
