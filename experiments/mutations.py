"""Can the chaos harness fail? A copy of Parley with one guard taken out, hurt as ever, must be found out.

    nice python experiments/mutations.py --out experiments/mutations.json

Each mutation gets up to five runs of 60 seconds with seeds of their own; what the harness said is kept. The walks of
the model (tests/store/test_oracle.py) plant these and many more: a guard that is second line to another one falls
with it here as there, as neither shows alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from msgspec import Struct

ROOT = Path(__file__).parents[1]
RUNS = 5
KINDS = ("lost", "repeated", "out_of_order", "wrong", "left")


class Mutation(Struct, frozen=True):
    """Texts of files under src/parley/store and what they are replaced with, and the run that should tell."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    kind: str
    number: int = 0  # of the run: every fourth lets the model answer anew


APPEND, FINAL, PUT, FINISH = (
    "scripts/append.lua",
    "scripts/final.lua",
    "scripts/lib/put.lua",
    "scripts/lib/finish.lua",
)
FENCE = ((APPEND, "known[1] ~= ARGV[1] or ", ""), (FINAL, "known[1] ~= fence or ", ""))
GENERATION = ((APPEND, " or known[3] ~= ARGV[3] then", " then"), (FINAL, " or known[3] ~= gen then", " then"))
MUTATIONS = (
    Mutation("nothing", (), "redis"),
    Mutation("nothing, and the model answers anew", (), "workers", 3),
    Mutation("no fence", FENCE, "workers", 3),
    Mutation("no fence, no generation", (*FENCE, *GENERATION), "workers", 3),
    Mutation("no offset", ((PUT, "if length ~= offset then", "if false then"),), "redis"),
    Mutation("the end leaves its token", ((FINISH, "  retract()\n  local cursor", "  local cursor"),), "workers"),
    Mutation(
        "no repair of the append-only file", (("embedded.py", "cut_torn_tail(self.binary, aof)", "pass"),), "redis"
    ),
)


def mutate(folder: Path, mutation: Mutation) -> None:
    """Copy Parley and the harness, and plant it."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in mutation.edits:
        path = folder / "src/parley/store" / name
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{name} holds {old!r} {text.count(old)} times")
        path.write_text(text.replace(old, new))


def run(mutation: Mutation, seconds: float) -> dict[str, Any]:
    """Runs until one finds it, and what each said."""
    with tempfile.TemporaryDirectory(prefix="parley-mutant-") as name:
        folder, out = Path(name), Path(name) / "out.jsonl"
        mutate(folder, mutation)
        told = []
        for _ in range(RUNS if mutation.edits else 1):
            words = (
                "--kind",
                mutation.kind,
                "--runs",
                "1",
                "--seconds",
                str(seconds),
                "--commit",
                "-",
                "--out",
                str(out),
            )
            subprocess.run(
                [sys.executable, ROOT / "experiments/chaos.py", *words, "--first", str(mutation.number)],
                env=os.environ | {"PYTHONPATH": str(folder / "src")},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            found = json.loads(out.read_text().splitlines()[-1])
            kept = ("seed", "server", "recovery", *KINDS, "takeovers", "hurt", "failed")
            told.append({name: found[name] for name in kept if name in found} | {"flaws": found.get("flaws", [])[:2]})
            if caught(found):
                break
    return {"mutation": mutation.name, "caught": caught(found), "runs": told}


def caught(found: dict[str, Any]) -> bool:
    """Whether a verdict tells of a broken promise; that a slow machine served nobody in time is none."""
    if "failed" in found or any("was not accepted for" in flaw for flaw in found["flaws"]):
        return False
    return any(found[kind] for kind in KINDS)


def main() -> None:
    """Run all; the exit status is 0 when each was caught, and nothing where nothing was planted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--out", type=Path, default=Path("experiments/mutations.json"))
    args = parser.parse_args()
    results = []
    for mutation in MUTATIONS:
        if args.only in mutation.name:
            results.append(run(mutation, args.seconds))
            args.out.write_text(json.dumps(results, indent=1) + "\n")
            print(json.dumps(results[-1]), flush=True)


if __name__ == "__main__":
    main()
