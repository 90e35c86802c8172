"""A worker: claims turns while it has room, runs many at once, keeps their leases, hands them over when it goes."""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable

from parley.core.errors import Unavailable
from parley.core.limits import Limits
from parley.models.registry import Models
from parley.store.appender import Appender
from parley.store.cancelling import cancel
from parley.store.conversations import Barrier
from parley.store.runs import TRANSIENT, Claim, Grant, IsolationDue, NoGroup, Queues, Runs
from parley.worker.brief import Assistants
from parley.worker.turn import TurnRun

log = logging.getLogger(__name__)

# How long the events of a reply stay in the log after its end, for readers that were away for a moment.
FOLD_AFTER = 30.0
# How long the ends of turns gather until they are synced to disk together, in seconds.
SETTLE_AFTER = 0.02

# How often what was lost in the store is looked for, in seconds (docs/design/0003).
AUDIT_EVERY = 10.0

# Turns taken from a shard in one go at most: a second worker shall have its share of a rush.
AT_ONCE = 4

# How long it may be believed that a worker has no place for another turn, in seconds.
FULL = 1.0

# Processes for one turn each, of one worker, at once. When many workers die in a row many turns are due for one, and a
# process for each would starve the machine until more leases are lost; the rest keep their tokens and wait.
LANES = 16

# Runs the turn of a token in a process of its own, which takes the token over, and waits for its end.
Isolate = Callable[[Claim], Awaitable[None]]


class Source:
    """Queues that one command can wait for."""

    def __init__(self, queues: Queues) -> None:
        self.queues = queues
        self.prepared = False  # they have their consumer group
        self.next_scan = 0.0
        self.next_word = 0.0  # that no place is free


class Worker:
    """One worker process.

    Args:
        concurrency: turns run at once; while there is room for one, each shard may give one.
        isolate: what to do with a turn from its third attempt on; None: run it here.
    """

    def __init__(
        self,
        runs: Runs,
        models: Models,
        assistants: Assistants,
        barrier: Barrier,
        limits: Limits,
        *,
        concurrency: int = 256,
        isolate: Isolate | None = None,
    ) -> None:
        self._runs = runs
        self._timing = runs.timing
        self._models = models
        self._assistants = assistants
        self._barrier = barrier
        self._limits = limits
        self._concurrency = concurrency
        self._shards = len(runs.keys.shards)
        self._isolate = isolate
        self._appender = Appender(runs.client, runs.keys)
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[str, TurnRun] = {}  # by fence
        self._isolating: set[asyncio.Task[None]] = set()
        self._lanes = asyncio.Semaphore(LANES)
        self._folds: deque[tuple[float, str]] = deque()
        self._room = asyncio.Event()
        self._ends = asyncio.Event()  # turns have ended that may not be on disk yet

    async def serve(self, leave: asyncio.Event, finish: asyncio.Event) -> None:
        """Work until told to stop.

        Args:
            leave: when set, what runs is handed over at once.
            finish: when set, nothing new is taken, and it is over when what runs has ended.

        Raises:
            Exception: something of the worker itself failed; the process should end and be started anew.
        """
        helpers = self._helpers()
        taking = [asyncio.create_task(self._take_from(queues, finish)) for queues in self._runs.together]
        working = asyncio.create_task(self._work(taking))
        leaving = asyncio.create_task(leave.wait())
        try:
            done, _ = await asyncio.wait([leaving, working, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel(working, leaving, *taking)
            await self._hand_over()
            await cancel(*helpers)

    async def serve_one(self, claim: Claim, heir_of: str, leave: asyncio.Event) -> None:
        """Run the one turn of a token that another process of ours, `heir_of`, was given (isolation)."""
        helpers = self._helpers()
        leaving = asyncio.create_task(leave.wait())
        try:
            grant = await self._runs.acquire(claim, secrets.token_hex(8), heir_of=heir_of)
            if grant:
                running = asyncio.create_task(self._run(grant))
                self._tasks.add(running)
                running.add_done_callback(self._ended)
                await asyncio.wait([running, leaving, *helpers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(leaving)
            await self._hand_over()
            await cancel(*helpers)

    def _helpers(self) -> list[asyncio.Task[None]]:
        parts = (self._appender.run(), self._tend(), self._fold(), self._settle(), self._audit())
        return [asyncio.create_task(part) for part in parts]

    async def _work(self, taking: list[asyncio.Task[None]]) -> None:
        """Until nothing new is taken and all has ended."""
        await asyncio.gather(*taking)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _take_from(self, queues: Queues, finish: asyncio.Event) -> None:
        """Begin what comes over some queues, which one command can wait for."""
        source = Source(queues)
        while not finish.is_set():
            try:
                if not source.prepared:
                    await self._runs.prepare(queues)
                    source.prepared = True
                for claim in await self._claims(source):
                    self._begin(claim)
            except NoGroup:
                source.prepared = False
            except (*TRANSIENT, Unavailable):
                # A store that comes back: who held a lease shall renew it before anybody takes it for lost.
                source.next_scan = time.monotonic() + self._timing.lease / 2
                await asyncio.sleep(random.uniform(0.02, 0.1))

    async def _claims(self, source: "Source") -> list[Claim]:
        """New tokens, or ones whose lease has run out; waits a little for them."""
        room = self._concurrency - len(self._tasks)
        if room <= 0:
            await self._wait_for_room(source)
            return []
        if time.monotonic() >= source.next_scan:
            source.next_scan = time.monotonic() + self._timing.scan * random.uniform(0.7, 1.3)
            found = await self._runs.scan(room, source.queues)
            if found:
                return found
        count = max(1, min(room // self._shards, AT_ONCE))
        # Many sources: as few commands as will do.
        until_scan = max(0.01, source.next_scan - time.monotonic())
        patience = until_scan if self._runs.client.clustered else self._timing.scan / 2
        claims, scan = await self._runs.wait(patience, count, source.queues)
        if scan:
            source.next_scan = 0.0
        return claims

    async def _wait_for_room(self, source: "Source") -> None:
        """All places are taken: say so until one is free."""
        self._room.clear()
        while not self._room.is_set():
            if time.monotonic() >= source.next_word:
                source.next_word = time.monotonic() + FULL / 2
                with contextlib.suppress(*TRANSIENT, Unavailable):
                    await self._runs.tell_full(FULL, source.queues)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(source.next_word - time.monotonic()):
                    await self._room.wait()

    def _begin(self, claim: Claim) -> None:
        task = asyncio.create_task(self._take(claim))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        if not task.cancelled() and task.exception():
            log.error("a turn's task failed", exc_info=task.exception())

    async def _take(self, claim: Claim) -> None:
        # When the store is away the token comes back as soon as its lease is over.
        with contextlib.suppress(Unavailable):
            try:
                grant = await self._runs.acquire(claim, secrets.token_hex(8), isolate=self._isolate is not None)
            except IsolationDue:
                grant = await self._give_away(claim)
            if grant:
                await self._run(grant)

    async def _give_away(self, claim: Claim) -> Grant | None:
        """Have the turn run in a process of its own; a grant when no such process could be begun."""
        task = asyncio.current_task()
        assert task is not None
        assert self._isolate is not None
        self._isolating.add(task)
        keeping = asyncio.create_task(self._keep(claim))
        try:
            async with self._lanes:
                await self._isolate(claim)
        finally:
            await cancel(keeping)
            self._isolating.discard(task)
        if await self._runs.keep(claim):
            return await self._runs.acquire(claim, secrets.token_hex(8))
        return None

    async def _keep(self, claim: Claim) -> None:
        """Hold a token until the process it is meant for takes it over."""
        while await self._runs.keep(claim):
            await asyncio.sleep(self._timing.lease / 4)

    async def _run(self, grant: Grant) -> None:
        run = TurnRun(
            grant,
            self._runs,
            self._appender,
            self._models,
            self._assistants,
            self._ends.set,
            self._timing,
            self._limits,
        )
        for other in self._running.values():
            if other.grant.claim.conversation == grant.claim.conversation:
                other.interrupt("lost")  # its lease ran out and came back to us
        self._running[grant.fence] = run
        try:
            await run.run()
        finally:
            del self._running[grant.fence]
            self._folds.append((time.monotonic() + FOLD_AFTER, grant.claim.conversation))

    async def _tend(self) -> None:
        """Renew all leases four times a lease. One whose server does not answer keeps the others from nothing."""
        tending: dict[TurnRun, asyncio.Task[None]] = {}
        try:
            while True:
                await asyncio.sleep(self._timing.lease / 4)
                for run, task in list(tending.items()):
                    if task.done():
                        del tending[run]
                        task.result()
                for run in self._running.values():
                    if run not in tending:
                        tending[run] = asyncio.create_task(run.tend())
        finally:
            await cancel(*tending.values())

    async def _fold(self) -> None:
        """Fold what ended a while ago."""
        while True:
            await asyncio.sleep(self._timing.lease / 4)
            while self._folds and self._folds[0][0] <= time.monotonic():
                with contextlib.suppress(Unavailable):
                    await self._runs.fold(self._folds.popleft()[1])

    async def _audit(self) -> None:
        """Have put back what was lost: a queue, its group, a token, a pending list; by whoever's hand."""
        while True:
            await asyncio.sleep(AUDIT_EVERY * random.uniform(0.7, 1.3))
            with contextlib.suppress(*TRANSIENT, Unavailable):
                if lost := await self._runs.audit(AUDIT_EVERY / 2):
                    log.warning("%d turns that nobody would have taken were put back into the queues", lost)

    async def _settle(self) -> None:
        """Have the ends of turns on disk soon; one sync for all that come together.

        They stand either way: only how soon a power cut could no longer undo them is at stake.
        """
        while True:
            await self._ends.wait()
            await asyncio.sleep(SETTLE_AFTER)
            await self._sync()

    async def _sync(self) -> None:
        self._ends.clear()
        with contextlib.suppress(Unavailable):
            await self._barrier()

    async def _hand_over(self) -> None:
        """Give back every turn, and what was delivered to us and never taken up."""
        for task in list(self._isolating):
            task.cancel()
        until = time.monotonic() + self._timing.lease
        while self._tasks and time.monotonic() < until:
            for run in list(self._running.values()):
                run.interrupt("drain")
            await asyncio.wait(self._tasks, timeout=0.1)
        with contextlib.suppress(Unavailable):
            await self._runs.evict(self._runs.worker)
            await self._runs.evict(self._runs.worker)  # once it holds nothing its name is forgotten
        if self._ends.is_set():
            await self._sync()
