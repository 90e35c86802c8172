"""1, 10, 100, 1,000 watchers of one reply: how late is each token for each of them, and what does one more cost?"""

import asyncio
import time
from functools import partial

from common import Bench, Figures, main

from parley.bench.checker import Reply
from parley.bench.drivers import Native
from parley.bench.histogram import Histogram
from parley.bench.http import Origin
from parley.bench.load import NUMBERS, schedule
from parley.bench.processes import Meter
from parley.bench.speech import Ask
from parley.bench.stage import Stage, stage

TITLE = "Watchers of one reply at 50 ms a token"
OPENING = 32
TOKENS, DELAY = 60, 0.05


async def watched(ready: Stage, count: int) -> Figures:
    origin = Origin(ready.server.url)
    speaker = Native(origin)
    await speaker.open()
    gate = asyncio.Semaphore(OPENING)

    async def watcher() -> Native:
        async with gate:
            driver = Native(origin)
            await driver.follow(speaker.conversation)
            return driver

    watchers = await asyncio.gather(*(watcher() for _ in range(count)))
    await schedule(ready.clock)
    meter = Meter(ready.server.pids)
    meter.start()
    ask = Ask(TOKENS, DELAY, f"w{next(NUMBERS)}")
    now = time.monotonic()
    replies = [Reply(ask, now) for _ in range(count + 1)]
    began = time.monotonic()
    watching = [asyncio.create_task(each.watch(reply)) for each, reply in zip(watchers, replies[1:], strict=True)]
    await asyncio.gather(speaker.turn(ask.message, replies[0]), *watching)
    wall, spent = time.monotonic() - began, meter.spent()
    for reply in replies:
        reply.finish()
    served = await schedule(ready.clock)
    lag = Histogram()
    for reply in replies[1:]:
        lag.add_all(reply.lags(served["began"][ask.tag]))
    for each in (speaker, *watchers):
        each.close()
    return {
        "watchers": count,
        "wall_s": round(wall, 3),
        "lag_ms": lag.milliseconds(),
        "upstream_late_ms": served["late_ms"],
        "cpu_s": sum(spent.values()),
        "cpu_s_by_part": spent,
        "cpu_us_per_delta_and_watcher": round(sum(spent.values()) / (TOKENS * (count + 1)) * 1e6, 2),
    }


async def run(bench: Bench) -> None:
    counts = (1, 10, 100, 1000) if bench.full else (1, 100)
    async with stage() as ready:
        await bench.rounds({f"{count} watchers": partial(watched, ready, count) for count in counts})


if __name__ == "__main__":
    main("watchers", TITLE, run)
