"""64 conversations, tokens as fast as they come: the cost when pieces gather, and how many a second get through."""

from functools import partial

from common import Bench, main

from parley.bench.load import Plan
from parley.bench.stage import stage

TITLE = "64 conversations, tokens as fast as they come"
PLAN = Plan(conversations=64, turns=4, tokens=1000, delay=0.0, ramp=0.1)
SHORT = ("direct", "websocket")
FULL = (*SHORT, "sse", "chat", "responses", "tutorial")


async def run(bench: Bench) -> None:
    async with stage() as ready:
        await bench.rounds({name: partial(ready.measure, PLAN, name) for name in (FULL if bench.full else SHORT)})


if __name__ == "__main__":
    main("burst", TITLE, run)
