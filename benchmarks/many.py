"""256 and 1,024 simultaneous replies at 20 ms a token: is every token on time, and how soon is the first one there?"""

from functools import partial

from common import Bench, main

from parley.bench.load import Plan
from parley.bench.stage import stage

TITLE = "Many simultaneous replies at 20 ms a token"


def plan(conversations: int) -> Plan:
    return Plan(conversations=conversations, turns=1, tokens=250, delay=0.02, ramp=2.0)


async def run(bench: Bench) -> None:
    # As an operator would set it: a worker answers as many turns at once as it is told to.
    async with stage(variables={"PARLEY_CONCURRENCY": "2048"}) as ready:
        for conversations in (256, 1024) if bench.full else (256,):
            await bench.rounds(
                {
                    f"{conversations} direct": partial(ready.measure, plan(conversations), "direct"),
                    f"{conversations} websocket": partial(ready.measure, plan(conversations)),
                }
            )


if __name__ == "__main__":
    main("many", TITLE, run)
