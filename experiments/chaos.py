"""Chaos at scale: run after run of `parley chaos`'s own storm, on every Redis of this machine, each with its record.

    nice python experiments/chaos.py --minutes 40 --out experiments/chaos.jsonl

A run lasts three minutes. Its line is written when it has ended, whatever its verdict: its seed, the server, the
commit, and all figures of the verdict. Of the two kinds, `workers` has many replies under way on few workers, so that
each death of a worker is a dozen takeovers, and `redis` mostly kills Redis; both make it forget what it wrote last
(`parley.chaos.rollback`).
"""

import argparse
import asyncio
import datetime
import itertools
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.redis_servers import binaries

from parley.bench.http import Failed
from parley.chaos.place import place
from parley.chaos.plan import Part, Plan
from parley.chaos.storm import Storm


def plan(kind: str, seed: int, server: Path, seconds: float, number: int) -> Plan:
    """One run: every fourth lets the model answer anew after a takeover instead of going on."""
    usual = Plan(
        seed=seed,
        duration=seconds,
        conversations=72,
        tokens=(40, 120),
        delay=0.12,
        ahead=2,
        rollbacks=True,
        pace={"work": 0.7, "serve": 6.0, "redis": 6.0},
        progress={"work": 600, "serve": 1500, "redis": 3000},
        redis_server=server,
    )
    if number % 4 == 3:
        # Asked anew each time, a reply that takes longer than a worker lives is rightly given up: short ones.
        usual = msgspec.structs.replace(usual, recovery="regenerate", tokens=(10, 30), delay=0.05)
    if kind == "workers":
        return usual
    # A Redis that stands still cannot be killed meanwhile, and few replies are shown again faster.
    pace: dict[Part, float] = {"work": 3.0, "serve": 6.0, "redis": 4.0}
    progress: dict[Part, int] = {"work": 200, "serve": 400, "redis": 250}
    return msgspec.structs.replace(
        usual, conversations=24, workers=2, pace=pace, progress=progress, faults=("kill", "term")
    )


def shaped(usual: Plan, fields: dict[str, Any]) -> Plan:
    """The plan with some fields otherwise."""
    kinds = get_type_hints(Plan)
    values = {name: msgspec.convert(value, kinds[name]) for name, value in fields.items()}
    return msgspec.structs.replace(usual, **values)


async def run(chosen: Plan) -> dict[str, Any]:
    """One run's verdict, and what was said when it is a bad one."""
    async with place(chosen) as where:
        found = await Storm(where, chosen).run()
        told: dict[str, Any] = msgspec.to_builtins(found)
        return told if found.holds else told | {"said": where.server.said()[-20_000:]}


def version(binary: Path) -> str:
    """What a server says it is."""
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    name = "Valkey" if "valkey" in told.lower() else "Redis"
    return f"{name} {told.partition('v=')[2].split()[0]}"


def main() -> None:
    """Run until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("workers", "redis"), default="workers")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=180.0, help="of one run")
    parser.add_argument("--runs", type=int, default=0, help="so many, whatever time they take")
    parser.add_argument("--commit", default="", help="what is run, where this is no repository")
    parser.add_argument("--server", type=Path, action="append", default=[], help="one more server")
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; 0: any")
    parser.add_argument("--shape", type=json.loads, default={}, help="fields of the plan that are otherwise, as JSON")
    parser.add_argument("--out", type=Path, default=Path("experiments/chaos.jsonl"))
    args = parser.parse_args()
    commit = (
        args.commit
        or subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    until = time.monotonic() + args.minutes * 60
    for number in itertools.count(args.first):
        if number - args.first >= args.runs if args.runs else time.monotonic() > until:
            return
        servers = [*binaries().values(), *filter(Path.exists, args.server)]
        server, seed = servers[number % len(servers)], random.randrange(1, 1 << 32)
        if args.seed:
            seed = args.seed + number - args.first
        chosen = shaped(plan(args.kind, seed, server, args.seconds, number), args.shape)
        head = {
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit,
            "server": version(server),
            "kind": args.kind,
            "recovery": chosen.recovery,
        }
        try:
            found = asyncio.run(run(chosen))
        except Failed as error:
            found = {"seed": seed, "failed": str(error)}
        with args.out.open("a") as file:
            file.write(json.dumps(head | found) + "\n")
        kept = {name: found.get(name) for name in ("seed", "takeovers", "accepted", "answered", "hurt", "flaws")}
        print(json.dumps(head | kept), flush=True)


if __name__ == "__main__":
    main()
