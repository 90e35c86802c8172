"""What each further web server and worker adds, where neither the machine's cores nor its client are what is short:
each web server and each worker is held to a tenth of a core by the kernel (a control group with a CPU quota); Redis,
the upstream and the load client are not held. Linux, as root; elsewhere it says that it cannot.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from common import Bench, Figures, main

from parley.bench.http import Failed
from parley.bench.load import Plan
from parley.bench.processes import part
from parley.bench.stage import stage

TITLE = "Web servers and workers, each held to a tenth of a core"
COUNTS = (1, 2, 4)
PLAN = Plan(conversations=64, turns=2, tokens=400, delay=0.0, ramp=0.1)
SHARE, PERIOD = 0.1, 20_000  # of a core; microseconds
HELD = ("web", "worker")


@contextlib.contextmanager
def held(pids: list[int]) -> Iterator[None]:
    """Each of these processes has its share of a core, and no more."""
    groups = [group(f"parley-bench-{pid}") for pid in pids]
    try:
        for pid, directory in zip(pids, groups, strict=True):
            (directory / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for directory in groups:
            root = directory.parent / "cgroup.procs"
            for pid in (directory / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    root.write_text(pid)
            directory.rmdir()


def group(name: str) -> Path:
    """A control group with the quota; of version 1 or 2."""
    try:
        first = Path("/sys/fs/cgroup/cpu") / name
        if first.parent.is_dir():
            first.mkdir()
            (first / "cpu.cfs_period_us").write_text(str(PERIOD))
            (first / "cpu.cfs_quota_us").write_text(str(int(PERIOD * SHARE)))
            return first
        second = Path("/sys/fs/cgroup") / name
        (second.parent / "cgroup.subtree_control").write_text("+cpu")
        second.mkdir()
        (second / "cpu.max").write_text(f"{int(PERIOD * SHARE)} {PERIOD}")
        return second
    except OSError as error:
        raise Failed(
            f"no control group may be made here ({os.strerror(error.errno or 0)}): be root on Linux"
        ) from error


async def laid_out(count: int) -> Figures:
    async with stage("--serves", str(count), "--workers", str(count)) as ready:
        with held([pid for pid in ready.server.pids if part(pid) in HELD]):
            found = await ready.measure(PLAN)
    return found | {"tokens_per_s_each": round(found["tokens_per_s"] / count)}


async def run(bench: Bench) -> None:
    await bench.rounds({f"{count} web, {count} workers": partial(laid_out, count) for count in COUNTS})


if __name__ == "__main__":
    main("cores", TITLE, run)
