"""How long until it serves, and what does each process hold then?"""

from common import Bench, Figures, main

from parley.bench.installation import installation, upstream
from parley.bench.processes import Meter

TITLE = "Start-up, without a model of its own"


async def started() -> Figures:
    async with upstream() as above, installation(model_url=above.url) as server:
        meter = Meter(server.pids)
        memory = meter.memory()
        cpu = meter.since_start()
    total = {kind: round(sum(part[kind] for part in memory.values()), 2) for kind in ("rss_mb", "pss_mb")}
    return {"ready_s": round(server.ready_s, 3), "memory": memory, "total": total, "cpu_s_by_part": cpu}


async def run(bench: Bench) -> None:
    await bench.rounds({"parley up": started}, max(bench.count, 5))


if __name__ == "__main__":
    main("start", TITLE, run)
