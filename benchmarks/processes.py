"""More web servers and workers on the same machine: what gets through at saturation, and at 256 replies at 20 ms."""

from functools import partial

from common import Bench, Case, Figures, main

from parley.bench.load import Plan
from parley.bench.stage import stage

TITLE = "Several web servers and workers"
BURST = Plan(conversations=64, turns=3, tokens=1000, delay=0.0, ramp=0.1)
PACED = Plan(conversations=256, turns=1, tokens=200, delay=0.02, ramp=2.0)
LAYOUTS = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 4))


async def laid_out(serves: int, workers: int, plan: Plan) -> Figures:
    arguments = ("--serves", str(serves), "--workers", str(workers))
    async with stage(*arguments, variables={"PARLEY_CONCURRENCY": "512"}) as ready:
        return await ready.measure(plan)


async def run(bench: Bench) -> None:
    cases: dict[str, Case] = {}
    for serves, workers in LAYOUTS if bench.full else LAYOUTS[:: len(LAYOUTS) - 2]:
        for name, plan in {"burst": BURST, "256 at 20 ms": PACED}.items():
            cases[f"{serves} web, {workers} workers, {name}"] = partial(laid_out, serves, workers, plan)
    await bench.rounds(cases)


if __name__ == "__main__":
    main("processes", TITLE, run)
