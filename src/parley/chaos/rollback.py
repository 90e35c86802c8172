"""A rollback: Redis is killed, and comes back without what it wrote last, as after a power cut.

What was acknowledged with ``fsync`` must never vanish, and a real power cut leaves what was synced. So posts are held
first; what the append-only file holds when every receipt has been given stays; replies go on for a moment, and of
what they wrote meanwhile a part is cut off, at any byte. The launcher stands still meanwhile: it starts Redis again
on what is left, and mends it first.
"""

import asyncio
import os
import random
import signal
import time
from pathlib import Path

from msgspec import Struct

from parley.bench.installation import Running
from parley.bench.processes import part
from parley.chaos.plan import Fault
from parley.chaos.quiet import Quiet

# Seconds of writing that are at stake.
WINDOW = (0.1, 1.5)
DEATH = 5.0


class Written(Struct, frozen=True):
    """An append-only file and how much is in it."""

    path: Path
    inode: int
    size: int


def written(data: Path) -> Written | None:
    """What Redis appends to just now; None when there is no such file."""
    home = data / "redis"
    parts = sorted((home / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))
    path = parts[-1] if parts else home / "appendonly.aof"
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return Written(path, about.st_ino, about.st_size)


async def roll_back(server: Running, quiet: Quiet, fault: Fault, rng: random.Random) -> int:
    """Do it; returns the bytes that were cut off. 0: it was only killed, or not even that.

    Args:
        fault: ``rollback`` kills Redis, ``power`` all that its launcher started.
    """
    assert server.data is not None
    async with quiet.hold():
        promised = written(server.data)
        await asyncio.sleep(rng.uniform(*WINDOW))
        return cut(server, promised, fault, rng) if promised is not None else 0


def cut(server: Running, promised: Written, fault: Fault, rng: random.Random) -> int:
    """Kill, and cut the file off somewhere behind what was promised."""
    assert server.data is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        victims = [pid for pid in server.pids[1:] if fault == "power" or part(pid) == "redis"]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + DEATH
        while not all(map(dead, victims)):
            if time.monotonic() > until:
                return 0
            time.sleep(0.001)
        last = written(server.data)
        if last is None or (last.path, last.inode) != (promised.path, promised.inode):
            return 0  # rewritten meanwhile: where the promises are in it is not known
        # Half of the time all that may go goes; else the cut is anywhere, most often within a transaction.
        kept = promised.size if rng.random() < 0.5 else rng.randint(promised.size, last.size)
        os.truncate(last.path, kept)
        return last.size - kept
    finally:
        os.kill(server.pid, signal.SIGCONT)


def dead(pid: int) -> bool:
    """Whether a process is no more, be it that nobody has taken note of it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
