"""X18: what a long history costs."""

from typing import Any

from parley.core.message import Message
from parley.core.quota import Budget, Quota, Rate
from parley.core.turn import Outcome, Private, Request, Turn
from tests.store.harness import Bench, bench, run

MANY, FEW = 3_000, 60
QUOTA = Quota((Rate("ann", 1_000_000),), (Budget("ann", 1_000_000),))


def test_a_long_history_costs_the_store_what_a_short_one_does() -> None:
    """The commands that scripts call, counted: a look, a page, a message, its window and its answer."""

    async def main() -> None:
        async with bench() as b:
            found = [await cost(b, await told(b, turns)) for turns in (FEW, MANY)]
            assert found[0] == found[1]

    run(main())


async def told(b: Bench, turns: int) -> str:
    """A conversation of so many turns."""
    name, parent, made = await b.conversation(), "", []
    for number in range(turns):
        turn = f"{number:016x}"
        said = Request((Message("user", f"message {number}"),))
        made.append((Turn(turn, parent, 1, said, "completed", Outcome("completed", "an answer")), Private()))
        parent = turn
    await b.conversations.copy(name, made)
    return name


async def cost(b: Bench, name: str) -> dict[str, int]:
    runs = b.runs()
    await b.conversations.snapshot(name)  # what is done once
    before = await calls(b)
    await b.conversations.snapshot(name, turns=50)
    await b.conversations.snapshot(name, turns=10, before=40)
    await b.say(name, "one more", quota=QUOTA)
    grant = await runs.acquire((await runs.wait(5))[0][0], "fence")
    assert grant is not None
    assert len(await runs.path(grant, turns=20, size=1 << 30)) == 20
    await runs.final(grant, 1, 0, "completed", b"", ["", "x"])
    after = await calls(b)
    return {each: after[each] - before.get(each, 0) for each in after}


async def calls(b: Bench) -> dict[str, int]:
    """How often each command was called. Clocks and first looks apart: they come and go by themselves."""
    stats: dict[str, Any] = await b.client.info("commandstats")
    passing = ("cmdstat_info", "cmdstat_eval", "cmdstat_xtrim", "cmdstat_pttl", "cmdstat_pexpireat", "cmdstat_time")
    return {name: each["calls"] for name, each in stats.items() if not name.startswith(passing)}
