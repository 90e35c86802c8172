"""Does anything grow? A real `parley up` under a steady load for an hour, sampled every ten seconds into a table.

    python experiments/soak.py --minutes 65 --out experiments/soak.csv

20 conversations talk all the time at 30 ms a token, each watched by two viewers that leave and come back; a
conversation ends after 100 turns, expires two minutes later, and the next one begins. One of the two workers is
killed, stopped or told to go about every half minute; the other worker, the web server, the supervisor and Redis live
through the whole run: they are what must not grow. Everything that is said is checked as `parley chaos` checks it.
`soak_page.py` draws the table and tells its slopes.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from parley.bench.installation import installation, upstream
from parley.bench.processes import memory, part
from parley.chaos.killer import SIGNALS, STILL, send
from parley.chaos.place import PREFIX, SHARDS, Place
from parley.chaos.plan import FAULTS, Plan
from parley.chaos.storm import Storm
from parley.store.connect import connect
from parley.store.keys import GROUP, Keys

SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"

[lifetimes]
conversation = 120
"""
EVERY = 10.0
# Seconds between two faults, on average.
PACE = 30.0


def workers(storm_pids: list[int]) -> list[int]:
    """The workers, the oldest first."""
    return sorted((pid for pid in storm_pids if part(pid) == "worker"), key=lambda pid: (born(pid), pid))


def born(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 0


def open_files(pid: int) -> int:
    """How many file descriptors a process has open."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


async def hurt(place: Place, rng: random.Random, done: dict[str, int]) -> None:
    """Hurt the younger worker now and then, for ever."""
    while True:
        await asyncio.sleep(rng.expovariate(1 / PACE))
        found = workers(place.server.pids)
        if len(found) < 2:
            continue
        fault = rng.choice(FAULTS)
        if send(found[-1], SIGNALS[fault]):
            done[fault] += 1
            if fault == "stop":
                await asyncio.sleep(rng.uniform(*STILL))
                send(found[-1], SIGNALS["kill"] if rng.random() < 0.2 else 18)


async def sample(place: Place, storm: Storm, began: float) -> dict[str, Any]:
    """One row of the table."""
    pids = place.server.pids
    named = {part(pid): pid for pid in pids if part(pid) in ("web", "redis", "supervisor")}
    named |= dict(zip(("worker", "young worker"), workers(pids), strict=False))
    row: dict[str, Any] = {"s": round(time.monotonic() - began, 1)}
    for name in ("web", "worker", "supervisor", "redis", "young worker"):
        pid = named.get(name, 0)
        held = memory(pid)
        row |= {f"{name} pid": pid, f"{name} rss": held.rss, f"{name} pss": held.pss, f"{name} files": open_files(pid)}
    row |= await stored(place)
    return row | {"accepted": storm.accepted, "ended": storm.ended, "takeovers": storm.takeovers, "flaws": storm.flaws}


async def stored(place: Place) -> dict[str, int]:
    """What Redis holds."""
    client, keys = connect(place.redis_url, connections=2), Keys(PREFIX, SHARDS)
    try:
        held = {"queue": 0, "pending": 0, "consumers": 0, "active": 0, "dead": 0}
        for shard in keys.shards:
            queue = keys.queue(shard)
            held["queue"] += await client.xlen(queue)
            with contextlib.suppress(Exception):
                held["pending"] += (await client.xpending(queue, GROUP.decode()))["pending"]
                held["consumers"] += len(await client.xinfo_consumers(queue, GROUP.decode()))
            held["active"] += await client.zcard(queue.removesuffix(b"queue") + b"active")
            held["dead"] += await client.llen(queue.removesuffix(b"queue") + b"dead")
        about = await client.info()
        return held | {
            "keys": await client.dbsize(),
            "used memory": about["used_memory"],
            "aof": about.get("aof_current_size", 0),
            "clients": about["connected_clients"],
            "scripts": about.get("number_of_cached_scripts", 0),
        }
    finally:
        await client.aclose()


async def soak(seconds: float, seed: int, conversations: int, out: Path) -> dict[str, Any]:
    """Run it; each sample is written as it is taken."""
    plan = Plan(seed=seed, duration=seconds, conversations=conversations, delay=0.03, workers=2, servers=1, parts=())
    with tempfile.TemporaryDirectory(prefix="parley-soak-") as name:
        async with upstream("parley.testing.upstream", quiet=True) as above:
            settings = Path(name) / "parley.toml"
            settings.write_text(SETTINGS.format(url=above.url))
            async with installation("--config", str(settings), "--serves", "1", "--workers", "2") as server:
                place = Place(server, above)
                storm, done = Storm(place, plan), dict.fromkeys(FAULTS, 0)
                hurting = asyncio.create_task(hurt(place, random.Random(f"{seed} soak"), done))
                sampling = asyncio.create_task(table(place, storm, out))
                found = await storm.run()
                hurting.cancel()
                # Everything has ended: what expires does, and the last rows show what is left.
                await asyncio.sleep(200)
                sampling.cancel()
                await asyncio.gather(hurting, sampling, return_exceptions=True)
                last = await stored(place)
    return msgspec.to_builtins(found) | {"hurt": done, "at the end": last}


async def table(place: Place, storm: Storm, out: Path) -> None:
    """A row every ten seconds, for ever."""
    began = time.monotonic()
    with out.open("w", newline="") as file:
        rows: csv.DictWriter[str] | None = None
        while True:
            try:
                row = await sample(place, storm, began)
            except Exception as error:
                print(f"no sample: {error!r}", file=sys.stderr)
            else:
                if rows is None:
                    rows = csv.DictWriter(file, list(row))
                    rows.writeheader()
                rows.writerow(row)
                file.flush()
            await asyncio.sleep(EVERY)


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=65.0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("experiments/soak.csv"))
    args = parser.parse_args()
    found = asyncio.run(soak(args.minutes * 60, args.seed, args.conversations, args.out))
    args.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
