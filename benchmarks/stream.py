"""64 conversations at 20 ms a token, over every protocol, beside the upstream asked directly: cost, latency, lag."""

from functools import partial

from common import Bench, main

from parley.bench.load import Plan
from parley.bench.stage import stage

TITLE = "64 conversations at 20 ms a token"
PLAN = Plan(conversations=64, turns=2, tokens=200, delay=0.02)
SHORT = ("direct", "websocket")
FULL = (*SHORT, "sse", "chat", "responses", "tutorial")


async def run(bench: Bench) -> None:
    async with stage() as ready:
        await bench.rounds({name: partial(ready.measure, PLAN, name) for name in (FULL if bench.full else SHORT)})


if __name__ == "__main__":
    main("stream", TITLE, run)
