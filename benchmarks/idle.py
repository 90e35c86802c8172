"""What does an idle socket cost? Memory of all processes, without any, with 1,000 and with 5,000 of them."""

import asyncio
from functools import partial

from common import Bench, Figures, main

from parley.bench.drivers import Native
from parley.bench.http import Origin
from parley.bench.processes import Meter
from parley.bench.stage import Stage, stage

TITLE = "Idle sockets"
OPENING = 32
# Seconds in which the servers come to rest.
REST = 1.0


async def sockets(count: int, *, following: bool) -> Figures:
    """A Parley of its own for each figure: memory that was used once stays with a process."""
    async with stage() as ready:
        await asyncio.sleep(REST)
        before = Meter(ready.server.pids).memory()
        opened = await everyone(ready, count, following=following)
        await asyncio.sleep(REST)
        meter = Meter(ready.server.pids)
        after = meter.memory()
        meter.start()
        await asyncio.sleep(REST)
        spent = sum(meter.spent().values())
        for each in opened:
            each.close()
    grown = {part: (after[part]["pss_mb"] - before[part]["pss_mb"]) * 1000 / count for part in after}
    return {
        "kb_each": round(sum(grown.values()), 2),
        "kb_each_by_part": {part: round(value, 2) for part, value in grown.items()},
        "cpu_share_at_rest": round(spent / REST, 3),
    }


async def everyone(ready: Stage, count: int, *, following: bool) -> list[Native]:
    gate = asyncio.Semaphore(OPENING)

    async def one() -> Native:
        async with gate:
            driver = Native(Origin(ready.server.url))
            await (driver.open() if following else driver.connect())
            return driver

    return await asyncio.gather(*(one() for _ in range(count)))


async def run(bench: Bench) -> None:
    cases = {}
    for count in (1000, 5000) if bench.full else (1000,):
        cases[f"{count} connected"] = partial(sockets, count, following=False)
        cases[f"{count} following a conversation each"] = partial(sockets, count, following=True)
    await bench.rounds(cases)


if __name__ == "__main__":
    main("idle", TITLE, run)
