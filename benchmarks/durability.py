"""What does it cost to lose less? Accepting and streaming on each level: in memory, synced once a second, before each
answer by our own barrier (the default), and by Redis for every write."""

import contextlib
import subprocess
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from common import Bench, Figures, main

from parley.bench.load import Plan
from parley.bench.processes import Meter
from parley.bench.stage import stage
from parley.store.embedded import find_binary

TITLE = "Levels of durability"
PLAN = Plan(conversations=32, turns=10, tokens=10, delay=0.02)

# name -> how a Redis of the operator's own is told to write; None: the one that Parley starts.
LEVELS: dict[str, tuple[str, ...] | None] = {
    "memory only": ("--appendonly", "no"),
    "file, synced each second": ("--appendonly", "yes", "--appendfsync", "everysec"),
    "own barrier (default)": None,
    "file, synced at each write": ("--appendonly", "yes", "--appendfsync", "always"),
}


@contextlib.asynccontextmanager
async def redis(options: tuple[str, ...] | None) -> AsyncIterator[tuple[list[str], list[int]]]:
    """Arguments for `parley up`, and the processes it does not start itself."""
    if options is None:
        yield [], []
        return
    with tempfile.TemporaryDirectory(prefix="parley-bench-", ignore_cleanup_errors=True) as name:
        socket = Path(name) / "redis.sock"
        command = [str(find_binary().path), "--port", "0", "--unixsocket", str(socket), "--dir", name, "--save", ""]
        with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
            try:
                yield ["--redis", f"unix://{socket}"], [process.pid]
            finally:
                process.terminate()


async def at(options: tuple[str, ...] | None) -> Figures:
    async with redis(options) as (arguments, more), stage(*arguments) as ready:
        outside = Meter(more)
        outside.start()
        figures = await ready.measure(PLAN)
        beside = sum(outside.spent().values())
    figures["cpu_s"] = round(figures["cpu_s"] + beside, 3)
    figures["cpu_s_by_part"].setdefault("redis", beside)
    figures["cpu_s_per_million_tokens"] = round(figures["cpu_s"] / figures["tokens"] * 1e6, 2)
    return figures | {"cpu_ms_per_turn": round(figures["cpu_s"] / figures["replies"] * 1000, 3)}


async def run(bench: Bench) -> None:
    await bench.rounds({name: partial(at, options) for name, options in LEVELS.items()})


if __name__ == "__main__":
    main("durability", TITLE, run)
