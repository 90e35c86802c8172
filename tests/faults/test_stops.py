"""F26 to F30: short lives, deletion, stops, many messages, and cursors, while a reply runs."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

import pytest

from parley.core import ids
from parley.core.about import About
from parley.core.cursor import START
from parley.core.errors import Gone, NotFound, TooMany
from parley.core.event import Started
from parley.core.limits import Timing
from parley.core.view import View
from parley.store.runs import Fenced, Grant
from parley.wire import frames
from tests.faults.catalogue import times
from tests.faults.figures import figure
from tests.store.harness import Bench, bench, run
from tests.worker.test_worker import crew

LEASE = 0.8


def test_a_life_shorter_than_the_reply() -> None:
    async def main() -> None:
        async with crew(Timing(lease=LEASE, scan=0.1)) as c:
            c.start("a")
            short = ids.conversation_id(secrets.token_bytes(16), len(c.bench.keys.shards))
            await c.bench.conversations.create(short, "me", About(model="counting"), ttl=1)
            receipt = await c.bench.say(short, "x 250")  # 2.5 s at least
            view = await c.ended(short, receipt.turn)
            assert view.turns[receipt.turn].body.decode() == "".join(f"x:{at} " for at in range(250))
            ended = time.monotonic()
            while await c.bench.client.keys(f"*{short}*"):
                await asyncio.sleep(0.05)
            with pytest.raises(NotFound):
                await c.bench.conversations.snapshot(short, turns=0)
            figure("F26", gone_after_the_end_s=time.monotonic() - ended, life_s=1)

    run(main())


def test_deleted_in_mid_reply() -> None:
    async def main() -> None:
        async with crew(Timing(lease=LEASE, scan=0.1)) as c:
            worker = c.start("a")
            conversation = await c.bench.conversation(model="silent")
            receipt = await c.bench.say(conversation, "?")
            view = await c.text(conversation, receipt.turn, 5)
            began = time.monotonic()
            await c.bench.conversations.delete(conversation)
            entries = await c.bench.conversations.read(conversation, view.cursor)
            assert entries is None or b"deleted" in entries[-1].data
            while worker._running:
                await asyncio.sleep(0.01)
            let_go = time.monotonic() - began
            with pytest.raises(Gone):
                await c.bench.say(conversation, "more")
            assert await c.bench.client.xlen(c.bench.keys.queue(conversation[5:7]).decode()) == 0
            figure("F27", worker_let_go_s=let_go, lease_s=LEASE)

    run(main())


# A reply is stopped at an instant: who prepares it replies what else is to be done once it was stopped.
Instant = Callable[[Bench, str, str], Awaitable[Grant | None]]


async def queued(b: Bench, conversation: str, turn: str) -> None:
    """Nobody took it yet."""


async def acquired(b: Bench, conversation: str, turn: str) -> Grant:
    return await b.take(b.runs())


async def first_byte(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await b.take(b.runs())
    await b.append(b.runs(), grant, 0, "t")
    return grant


async def middle(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await first_byte(b, conversation, turn)
    await b.append(b.runs(), grant, 1, "ext")
    return grant


async def last_byte(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    await b.append(b.runs(), grant, 4, " and no more")
    return grant


async def rewound(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    assert await b.runs().rewind(grant, 1, 2) == 2
    return grant


async def during_takeover(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    await b.runs().evict("worker-a")
    await b.claim(b.runs("b"))
    return grant


async def holder_dead(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    await b.runs().evict("worker-a")
    return grant


async def handed_over(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    await b.runs().handoff(grant)
    return grant


async def out_of_memory(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    await b.client.config_set("maxmemory", "1")
    return grant


async def already_ended(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    await b.runs().final(grant, 1, 4, "completed", b"", [])
    return grant


async def already_stopped(b: Bench, conversation: str, turn: str) -> Grant:
    grant = await middle(b, conversation, turn)
    assert (await b.conversations.cancel(conversation, turn))[0]
    return grant


INSTANTS: list[tuple[Instant, str, str]] = [
    (queued, "cancelled", ""),
    (acquired, "cancelled", ""),
    (first_byte, "cancelled", "t"),
    (middle, "cancelled", "text"),
    (last_byte, "cancelled", "text and no more"),
    (rewound, "cancelled", "te"),
    (during_takeover, "cancelled", "text"),
    (holder_dead, "cancelled", "text"),
    (handed_over, "cancelled", "text"),
    (out_of_memory, "cancelled", "text"),
    (already_ended, "completed", "text"),
    (already_stopped, "cancelled", "text"),
]


@pytest.mark.parametrize(("instant", "status", "text"), INSTANTS, ids=[each[0].__name__ for each in INSTANTS])
def test_stopped_at(instant: Instant, status: str, text: str) -> None:
    """Two clients stop it at once; what its holder and a successor do later changes nothing."""

    async def main() -> None:
        async with bench() as b:
            conversation = await b.conversation()
            turn = (await b.say(conversation, "?")).turn
            grant = await instant(b, conversation, turn)
            over = instant in (already_ended, already_stopped)
            began = time.monotonic()
            both = await asyncio.gather(*(b.conversations.cancel(conversation, turn) for _ in range(2)))
            took = time.monotonic() - began
            assert sorted(changed for changed, _ in both) == ([False, False] if over else [False, True])
            assert {found for _, found in both} == {status}
            await b.client.config_set("maxmemory", "0")
            before = await b.view(conversation)
            if grant is not None:
                assert await b.append(b.runs(), grant, 4, "late") == [b"FENCED"]
                assert not await b.runs().renew(grant, patience=1)
                with pytest.raises(Fenced):
                    await b.runs().final(grant, 1, 0, "incomplete", b"", [])
            assert await b.client.zcard(b.keys.active("00").decode()) == 0
            view = await b.view(conversation)
            assert view.cursor == before.cursor
            shown = view.turns[turn]
            assert (shown.status, shown.body.decode()) == (status, text)
            with pytest.raises(NotFound):
                await b.conversations.cancel(conversation, "0" * 16)
            figure("F28", instant=instant.__name__, ms=1000 * took)

    run(main())


def test_twenty_messages_while_a_reply_runs() -> None:
    async def main() -> None:
        async with crew(Timing(lease=2.0, scan=0.1)) as c:
            c.start("a")
            conversation = await c.bench.conversation(model="counting")
            first = await c.bench.say(conversation, "first 100")
            await c.text(conversation, first.turn, 10)
            said, refused = [first.turn], 0
            for number in range(20):
                try:
                    # Two tabs, the same message at the same time.
                    both = await asyncio.gather(
                        *(c.bench.say(conversation, f"m{number} 2", key=f"k{number}") for _ in range(2))
                    )
                except TooMany:
                    refused += 1
                    continue
                assert both[0].turn == both[1].turn
                assert sorted(receipt.replayed for receipt in both) == [False, True]
                said.append(both[0].turn)
            view = await c.ended(conversation, *said, seconds=60)
            assert list(view.turns) == said
            assert len(said) == c.bench.limits.queue
            entries = await c.bench.conversations.read(conversation, START) or []
            events = [frames.decode_event(entry.data) for entry in entries]
            starts = [event.turn for event in events if isinstance(event, Started)]
            assert starts == said
            figure("F29", accepted=len(said), refused=refused)

    run(main())


def test_a_viewer_comes_at_every_entry() -> None:
    """From every cursor there was, by the log or by a snapshot, everyone ends with the same."""

    async def main() -> None:
        async with bench() as b:
            conversation, other = await b.conversation(), await b.conversation()
            for number in range(times(3, 30)):
                await b.say(conversation, f"message {number}")
                grant = await b.take(b.runs())
                await b.append(b.runs(), grant, 0, "some", " text", " of", f" {number}")
                await b.runs().rewind(grant, 1, 4)
                await b.append(b.runs(), grant, 4, " other text", gen=2)
                await b.runs().final(grant, 2, 15, "completed", b"", [])
            entries = await b.conversations.read(conversation, START) or []
            whole = bodies(await b.view(conversation))
            logs = snapshots = 0
            for _ in ("whole", "folded"):
                for seen in range(len(entries) + 1):
                    view = View()
                    for entry in entries[:seen]:
                        view.apply(entry.cursor, entry.previous, frames.decode_event(entry.data))
                    by_log = await b.conversations.read(conversation, view.cursor) is not None
                    logs, snapshots = logs + by_log, snapshots + (not by_log)
                    assert bodies(await b.view(conversation, view)) == whole
                await b.runs().fold(conversation)
            for strange in ("999999-1", f"3-{10**15}", (await b.view(other)).cursor + "7"):
                assert await b.conversations.read(conversation, strange) is None
            figure("F30", cursors=2 * (len(entries) + 1), by_the_log=logs, by_a_snapshot=snapshots)

    run(main())


def bodies(view: View) -> dict[str, tuple[str, bytes]]:
    """What a viewer shows of each turn."""
    return {name: (turn.status, turn.body) for name, turn in view.turns.items()}
