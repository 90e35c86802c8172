"""What does a turn cost in a conversation of 10, 100, 1,000, 10,000 messages? CPU and time to the first token."""

import asyncio
from functools import partial

from common import Bench, Figures, main

from parley.bench.drivers import Native
from parley.bench.http import Origin
from parley.bench.load import Load, Plan
from parley.bench.measure import measure
from parley.bench.stage import Stage, stage

TITLE = "A turn's cost against the history before it"
TURNS = 50
# From so many messages on, those of a few rounds more do not matter.
LONG = 1000


class Known(Native):
    """A conversation that was there before."""

    def __init__(self, origin: Origin, conversation: str) -> None:
        super().__init__(origin)
        self._known = conversation

    async def open(self) -> None:
        await self.follow(self._known)


async def grown(ready: Stage, messages: int) -> str:
    """A conversation with so many messages, said one after the other as its users would."""
    plan = Plan(conversations=1, turns=messages // 2, tokens=8, delay=0, ramp=0)
    load = Load(plan, ready.drivers("websocket"), ready.clock)
    await load.open()
    await load.run()
    load.close()
    (driver,) = load.drivers
    assert isinstance(driver, Native)
    return driver.conversation


async def turns(ready: Stage, size: int, long: dict[int, str]) -> Figures:
    """The cost of turns behind so many messages. A short history is made anew: the turns themselves make it longer."""
    conversation = long.get(size) or await grown(ready, size)
    figures = await measure(
        Plan(conversations=1, turns=TURNS, tokens=20, delay=0.001, ramp=0),
        lambda: Known(Origin(ready.server.url), conversation),
        pids=ready.server.pids,
        upstream=ready.clock,
        upstream_pid=ready.above.pid,
    )
    return figures | {"cpu_ms_per_turn": round(figures["cpu_s"] / TURNS * 1000, 3)}


async def run(bench: Bench) -> None:
    sizes = (10, 100, 1000, 10_000) if bench.full else (10, 1000)
    async with stage() as ready:
        kept = [size for size in sizes if size >= LONG]
        long = dict(zip(kept, await asyncio.gather(*(grown(ready, size) for size in kept)), strict=True))
        await bench.rounds({f"{size} messages": partial(turns, ready, size, long) for size in sizes})


if __name__ == "__main__":
    main("history", TITLE, run)
