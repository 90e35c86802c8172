"""The killer: hurts the parts of an installation at random moments, each at a pace of its own."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Callable

from parley.bench.installation import Running
from parley.bench.processes import command_line, part
from parley.chaos.plan import ROLLBACKS, Fault, Part, Plan
from parley.chaos.quiet import Quiet
from parley.chaos.rollback import roll_back

WEIGHTS: dict[Fault, int] = {"kill": 55, "stop": 30, "term": 15, "rollback": 35, "power": 25}
SIGNALS: dict[Fault, signal.Signals] = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
# Seconds that a stopped process stands still: shorter and longer than a lease.
STILL = (0.2, 5.0)
POLL = 0.05
NAMES: dict[Part, str] = {"work": "worker", "serve": "web", "redis": "redis"}


class Killer:
    """Hurts a running installation until it is cancelled; `done` counts what it did by part and fault.

    `forgotten` counts the bytes that Redis was made to forget.

    Args:
        seen: how many events viewers have seen so far.
    """

    def __init__(self, server: Running, plan: Plan, quiet: Quiet, seen: Callable[[], int]) -> None:
        self._server = server
        self._plan = plan
        self._quiet = quiet
        self._seen = seen
        self.forgotten = 0
        self._stopped: set[int] = set()
        self.done: Counter[tuple[Part, Fault]] = Counter()

    async def run(self) -> None:
        """Hurt, for ever. What stands still goes on when this ends."""
        try:
            await asyncio.gather(*(self._haunt(each) for each in self._plan.parts))
        finally:
            for pid in self._stopped:
                send(pid, signal.SIGCONT)

    def living(self, which: Part) -> list[int]:
        """The processes of a part. A turn in isolation is left alone: what it is isolated from is others' bad luck."""
        found = [pid for pid in self._server.pids if part(pid) == NAMES[which]]
        return [pid for pid in found if "--turn" not in command_line(pid)]

    async def _haunt(self, which: Part) -> None:
        rng = random.Random(f"{self._plan.seed} {which}")
        # Even a short run sees every part hurt.
        pace = self._plan.pace[which]
        await asyncio.sleep(rng.uniform(0, min(pace, self._plan.duration / 4)))
        faults = self._plan.faults + ROLLBACKS * (which == "redis" and self._plan.rollbacks)
        async with asyncio.TaskGroup() as pauses:
            while True:
                fault = rng.choices(faults, [WEIGHTS[each] for each in faults])[0]
                # What stands still is left to wake: it finds that others went on without it.
                moving = [pid for pid in self.living(which) if pid not in self._stopped]
                # One worker is left, where there are several: somebody takes over.
                if len(moving) > (which == "work" and self._plan.workers > 1):
                    if fault in ROLLBACKS:
                        await self._roll_back(fault, rng)
                    elif send(pid := rng.choice(moving), SIGNALS[fault]):
                        self.done[which, fault] += 1
                        if fault == "stop":
                            self._stopped.add(pid)
                            pauses.create_task(self._wake(pid, rng.uniform(*STILL)))
                enough = self._seen() + self._plan.progress.get(which, 0)
                await asyncio.sleep(rng.expovariate(1 / pace))
                while self._seen() < enough:
                    await asyncio.sleep(POLL)

    async def _roll_back(self, fault: Fault, rng: random.Random) -> None:
        """A fault that made Redis forget nothing was only a kill."""
        forgotten = await roll_back(self._server, self._quiet, fault, rng)
        self.forgotten += forgotten
        self.done["redis", fault if forgotten else "kill"] += 1

    async def _wake(self, pid: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        send(pid, signal.SIGCONT)
        self._stopped.discard(pid)


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False when the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
