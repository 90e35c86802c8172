"""How long until a message is accepted for good, when one, 16 and 64 are talking: short replies, many turns."""

from functools import partial

from common import Bench, main

from parley.bench.load import Plan
from parley.bench.stage import stage

TITLE = "Accepting a message (synced to disk before the answer)"


async def run(bench: Bench) -> None:
    plans = {
        "1 conversation": Plan(conversations=1, turns=40, tokens=5, delay=0.02, ramp=0),
        "16 conversations": Plan(conversations=16, turns=12, tokens=20, delay=0.02),
        "64 conversations": Plan(conversations=64, turns=6, tokens=50, delay=0.02),
    }
    async with stage() as ready:
        await bench.rounds({name: partial(ready.measure, plan) for name, plan in plans.items()})


if __name__ == "__main__":
    main("accept", TITLE, run)
