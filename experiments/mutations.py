"""Can the chaos harness fail? A copy of Parley with one guard taken out, hurt as ever, must be found out.

    nice python experiments/mutations.py --out experiments/mutations.json

Each guard has a storm that is shaped to need it, of at most a minute, and seeds of its own. The same storm goes over
a copy with nothing taken out first, which must stand; then over the mutant, up to `RUNS` times, until one run tells.
What was said is kept. The walks of the model (tests/store/test_oracle.py) plant these and many more.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

ROOT = Path(__file__).parents[1]
RUNS = 4
KINDS = ("lost", "repeated", "out_of_order", "wrong", "left")
KEPT = ("seed", "server", "seconds", "accepted", "answered", *KINDS, "takeovers", "hurt", "forgotten", "failed")
# Said of a machine that has no time, not of a promise: nobody was served.
SLOW = ("was not accepted for", "is in_progress", "is queued", "was never seen")

Edits = tuple[tuple[str, str, str], ...]


class Mutation(Struct, frozen=True):
    """A guard, and the storm that needs it.

    Args:
        edits: files under src/parley, texts in them, and what those are replaced with.
        shape: fields of the plan (`parley.chaos.plan.Plan`).
        provokes: why this storm meets the hole.
    """

    name: str
    edits: Edits
    seed: int
    shape: Mapping[str, Any]
    provokes: str


SCRIPTS = "store/scripts"
APPEND, FINAL, REWIND, RENEW = (f"{SCRIPTS}/{name}.lua" for name in ("append", "final", "rewind", "renew"))
PUT, FINISH = f"{SCRIPTS}/lib/put.lua", f"{SCRIPTS}/lib/finish.lua"

NO_FENCE: Edits = (
    (APPEND, "known[1] ~= ARGV[1] or ", ""),
    (FINAL, "known[1] ~= fence or ", ""),
    (REWIND, "known[1] ~= fence or ", ""),
    (RENEW, "known[1] ~= ARGV[1]", "not known[2]"),
)
NO_OFFSET: Edits = ((PUT, "if length ~= offset then", "if false then"),)
LET_GO = """
  call('LPOP', waiting)
  call('DEL', reply, pieces)
  retract()
  call('HSET', meta, 'state', 'idle')"""
NEXT = "if call('LLEN', waiting) > 0 then issue() else call('ZREM', active, call('HGET', meta, 'id')) end"
CALL = 'checked(await self._run("final"'
# The end is told and written down first; what waits behind it is let go of by a second call.
END_IN_TWO_STEPS: Edits = (
    ("store/runs.py", f"        {CALL}", f"        for _ in range(2):\n            {CALL}"),
    (FINISH, "local function finish(turn, status, extra)", "local function finish(turn, status, extra, first)"),
    (FINISH, "  call('LPOP', waiting)\n  call('DEL', reply, pieces)\n  retract()\n", ""),
    (
        FINISH,
        "  call('HSET', meta, 'ended', cursor, 'state', 'idle')\n",
        f"  call('HSET', meta, 'ended', cursor)\n  if first then return touch() end{LET_GO}\n",
    ),
    (FINAL, "finish(turn, status, extra)\n", "finish(turn, status, extra, true)\n"),
    (
        FINAL,
        "if closed == fence and ended == status then return",
        f"if closed == fence and ended == status and call('HGET', meta, 'fence') == fence then{LET_GO}\n"
        f"  {NEXT}\n  touch()\n  end\n  if closed == fence and ended == status then return",
    ),
)
NO_REPAIR: Edits = (("store/embedded.py", "            cut_torn_tail(self.binary, aof)", "            pass"),)

MUTATIONS = (
    Mutation(
        "no fence",
        NO_FENCE,
        seed=101,
        shape={
            **{"conversations": 48, "tokens": (4, 12), "delay": 0.5, "recovery": "regenerate", "ahead": 2},
            **{"parts": ["work"], "faults": ["stop"], "pace": {"work": 0.7}, "progress": {}, "workers": 4},
        },
        provokes="workers are stopped for longer than a lease and wake; the model answers anew",
    ),
    Mutation(
        "no offset check",
        NO_OFFSET,
        seed=201,
        shape={
            **{"conversations": 24, "tokens": (40, 120), "delay": 0.1, "ahead": 2},
            **{"parts": ["redis"], "faults": [], "pace": {"redis": 4.0}, "progress": {"redis": 250}},
        },
        provokes="Redis forgets text that its worker has sent and remembers",
    ),
    Mutation(
        "the end in two steps",
        END_IN_TWO_STEPS,
        seed=301,
        shape={
            **{"conversations": 48, "tokens": (1, 4), "delay": 0.01, "ahead": 4},
            **{"parts": ["work"], "faults": ["kill", "stop"], "pace": {"work": 0.3}, "progress": {}, "workers": 3},
        },
        provokes="workers are killed and stopped while replies of a few tokens end all the time",
    ),
    Mutation(
        "no repair of the append-only file",
        NO_REPAIR,
        seed=401,
        shape={
            **{"conversations": 24, "tokens": (40, 120), "delay": 0.05, "ahead": 2},
            **{"parts": ["redis"], "faults": [], "pace": {"redis": 2.5}, "progress": {"redis": 150}},
        },
        provokes="the file is torn at any byte, again and again, and Redis started on what is left",
    ),
)


def mutate(folder: Path, edits: Edits) -> None:
    """Copy Parley, and plant it."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in edits:
        path = folder / "src/parley" / name
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{name} holds {old!r} {text.count(old)} times")
        path.write_text(text.replace(old, new))


def run(mutation: Mutation, edits: Edits, seconds: float, runs: int) -> list[dict[str, Any]]:
    """Storms over a copy until one tells; what each said."""
    told: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="parley-mutant-") as name:
        folder, out = Path(name), Path(name) / "out.jsonl"
        mutate(folder, edits)
        while len(told) < runs and not (told and caught(told[-1])):
            seed = mutation.seed + len(told)
            shape = ("--seed", str(seed), "--seconds", str(seconds), "--shape", json.dumps(mutation.shape))
            words = ("--runs", "1", *shape, "--commit", "-", "--out", str(out))
            subprocess.run(
                [sys.executable, ROOT / "experiments/chaos.py", *words],
                env=os.environ | {"PYTHONPATH": str(folder / "src")},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            found = json.loads(out.read_text().splitlines()[-1])
            told.append({name: found[name] for name in KEPT if name in found} | {"flaws": found.get("flaws", [])[:4]})
            print(mutation.name, bool(edits), json.dumps(told[-1]), flush=True)
    return told


def caught(found: Mapping[str, Any]) -> bool:
    """Whether a verdict tells of a broken promise; that a slow machine served nobody in time is none."""
    if "failed" in found:
        return False
    if found["left"] > 0:
        return True
    return any(not any(slow in flaw for slow in SLOW) for flaw in found["flaws"])


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--out", type=Path, default=Path("experiments/mutations.json"))
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    for mutation in MUTATIONS:
        if args.only not in mutation.name:
            continue
        stands = run(mutation, (), args.seconds, 1)
        told = run(mutation, mutation.edits, args.seconds, RUNS)
        results.append(
            {
                "mutation": mutation.name,
                "provokes": mutation.provokes,
                "stands": not caught(stands[-1]),
                "caught": caught(told[-1]),
                "unhurt": stands,
                "runs": told,
            }
        )
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    if not all(each["stands"] and each["caught"] for each in results):
        raise SystemExit("the harness did not tell a mutant from Parley: see the file")


if __name__ == "__main__":
    main()
