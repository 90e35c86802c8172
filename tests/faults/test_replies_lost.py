"""F12, F13: commands are executed and their replies lost, requests are lost, or come late; whatever the command."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from parley.core.errors import Unavailable
from parley.core.limits import Timing
from tests.faults.catalogue import times
from tests.faults.figures import figure
from tests.faults.proxy import Call, Fault, Proxy, Rule, load_scripts
from tests.redis_servers import running
from tests.store.harness import Bench, run
from tests.worker.test_worker import Crew

# What a worker and a web server send besides scripts; a connection's own first words are left alone.
LEFT_ALONE = {"client", "info", "subscribe"}
TURNS = 3


class Talk:
    """Conversations through a bad line to Redis, looked at over a good one."""

    def __init__(self, proxy: Proxy, bad: Bench, good: Bench) -> None:
        self.proxy, self.bad, self.good = proxy, bad, good
        self.said: list[tuple[str, str, str]] = []  # conversation, turn, answer
        self.crew, self.eyes = Crew(bad), Crew(good)

    async def run(self, conversations: int) -> None:
        """Speak, stop, hand over, delete; then every answer is whole, once, and nothing is left."""
        self.crew.start("a")
        self.crew.start("b")
        names = [await insist(self.bad.conversation, model="counting") for _ in range(conversations)]
        for name in names:
            for number in range(TURNS):
                await self._say(name, f"{name[-4:]}{number}", 12)
        stopped = await insist(self.bad.say, names[0], "nevermind 500", key="stopped")
        deleted = await insist(self.bad.conversation, model="counting")
        gone = await insist(self.bad.say, deleted, "gone 500", key="gone")
        await self.eyes.text(deleted, gone.turn, 10)
        self.crew.start("c")
        for name in ("a", "b"):
            await self.crew.stop(name)
        await insist(self.bad.conversations.cancel, names[0], stopped.turn)
        await insist(self.bad.conversations.delete, deleted)
        for name, turn, answer in self.said:
            view = await self.eyes.ended(name, turn, seconds=60)
            assert view.turns[turn].body.decode() == answer
        snapshot = await self.good.conversations.snapshot(names[0])
        assert snapshot.turns[-1].status == "cancelled"
        for name in names:
            turns = (await self.good.conversations.snapshot(name)).turns
            assert len(turns) == TURNS + (name == names[0])
        await self.crew.stop("c")
        await self._nothing_is_left()

    async def _say(self, conversation: str, word: str, count: int) -> None:
        receipt = await insist(self.bad.say, conversation, f"{word} {count}", key=word)
        again = await insist(self.bad.say, conversation, f"{word} {count}", key=word)
        assert again.turn == receipt.turn
        self.said.append((conversation, receipt.turn, "".join(f"{word}:{at} " for at in range(count))))

    async def _nothing_is_left(self) -> None:
        for shard in self.good.keys.shards:
            queue = self.good.keys.queue(shard)
            entries: Any = await self.good.client.xrange(queue.decode())
            assert [fields for _, fields in entries if b"c" in fields] == []
            assert await self.good.client.zcard(self.good.keys.active(shard).decode()) == 0


async def insist(call: Any, *args: Any, **options: Any) -> Any:
    """As clients do: again, until it is accepted."""
    while True:
        try:
            return await call(*args, **options)
        except Unavailable:
            await asyncio.sleep(0.05)


def often(chance: float, met: Fault | float, first: int, seed: int) -> Rule:
    """The first ones of each kind meet a fault, and one in so many later."""
    rng = random.Random(seed)

    def rule(call: Call) -> Fault | float | None:
        if call.name in LEFT_ALONE:
            return None
        return met if call.number <= first or rng.random() < chance else None

    return rule


def talk(rule: Rule, conversations: int) -> tuple[Counter[str], Counter[str], Counter[tuple[str, bytes]]]:
    """A talk under a rule: what was seen, what met a fault, and what scripts replied."""
    found: list[Proxy] = []

    async def main() -> None:
        with running() as server:
            async with Proxy(server.socket) as proxy:
                found.append(proxy)
                proxy.rule = rule
                timing = Timing(lease=1.0, scan=0.1, attempts_total=1000, attempts=1000)
                bad, good = Bench(proxy.url, shards=2, timing=timing), Bench(server.url, shards=2)
                try:
                    await load_scripts(good.client)
                    await asyncio.wait_for(Talk(proxy, bad, good).run(conversations), 110)
                finally:
                    await bad.client.aclose()
                    await good.client.aclose()

    run(main())
    return found[0].seen, found[0].lost, found[0].replies


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
def test_nothing_happens_twice_when_a_line_is_cut(fault: Fault) -> None:
    seen, lost, _ = talk(often(0.05, fault, 1, seed=1), times(4, 40))
    scripts = ("create", "post", "acquire", "append", "final", "cancel", "delete", "handoff", "evict", "renew")
    assert all(lost[name] for name in (*scripts, "xreadgroup", "xautoclaim")), lost
    which = "replies_lost" if fault is Fault.CUT_AFTER else "requests_lost"
    figure("F12", **{which: lost.total()}, commands=seen.total(), kinds=len(lost))


def test_what_comes_late_is_refused() -> None:
    """Held for up to 2.5 leases, requests of a worker that was taken over from arrive behind its successor's."""
    rng = random.Random(2)

    def rule(call: Call) -> float | None:
        late = call.name in ("append", "renew", "final") and rng.random() < 0.08
        return rng.uniform(0.1, 2.5) if late else None

    _, lost, replies = talk(rule, times(4, 20))
    refused = sum(count for (_, word), count in replies.items() if word == b"FENCED")
    figure("F13", held=lost.total(), refused=refused)
    assert lost.total()
