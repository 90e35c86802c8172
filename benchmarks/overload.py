"""Four times more than it is set to carry: who is refused, how soon those accepted see a first token, what remains of
it afterwards. Capacity is what the operator set (`concurrency`); `limits.backlog` and all else are the defaults."""

import asyncio

from common import Bench, Figures, main

from parley.bench.load import Plan
from parley.bench.processes import Meter
from parley.bench.stage import Stage, stage

TITLE = "Overload: four times the replies at once that it is set to carry"
CAPACITY = 64
CALM = Plan(conversations=16, turns=2, tokens=100, delay=0.02)
WITHIN = Plan(conversations=CAPACITY, turns=2, tokens=100, delay=0.02)
BEYOND = Plan(conversations=4 * CAPACITY, turns=3, tokens=300, delay=0.02)
# Seconds after the flood until it is looked at again.
BREATH = 3.0


def total(ready: Stage) -> float:
    return round(sum(part["pss_mb"] for part in Meter(ready.server.pids).memory().values()), 2)


async def flood() -> Figures:
    async with stage(variables={"PARLEY_CONCURRENCY": str(CAPACITY)}) as ready:
        calm, before = await ready.measure(CALM), total(ready)
        within = await ready.measure(WITHIN)
        beyond, during = await ready.measure(BEYOND), total(ready)
        await asyncio.sleep(BREATH)
        again, after = await ready.measure(CALM), total(ready)
    asked = beyond["replies"] + beyond["refused"] + beyond["failed"]
    return {
        "asked": asked,
        "answered": beyond["replies"],
        "refused": beyond["refused"],
        "failed": beyond["failed"],
        "wrong": beyond["wrong"],
        "first_token_ms": {"calm": calm["first_token_ms"]["p50"], "within": within["first_token_ms"]["p50"]}
        | {"beyond": beyond["first_token_ms"]["p50"], "beyond_p99": beyond["first_token_ms"]["p99"]}
        | {"calm_again": again["first_token_ms"]["p50"]},
        "tokens_per_s": {"within": within["tokens_per_s"], "beyond": beyond["tokens_per_s"]},
        "memory_mb": {"before": before, "during": during, "after": after},
        "errors": beyond["errors"],
    }


async def run(bench: Bench) -> None:
    await bench.rounds({"4 x 64 replies": flood})


if __name__ == "__main__":
    main("overload", TITLE, run)
