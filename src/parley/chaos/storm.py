"""The storm: posters, viewers and the killer at once; then calm, until everything accepted has ended."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator

import aiohttp

from parley.bench.http import Failed
from parley.bench.processes import command_line
from parley.chaos.flaw import Flaw
from parley.chaos.killer import Killer
from parley.chaos.place import Place
from parley.chaos.plan import Plan
from parley.chaos.poster import Poster
from parley.chaos.quiet import Quiet
from parley.chaos.talk import Talk
from parley.chaos.tally import Verdict, verdict
from parley.chaos.viewer import watch_by_events, watch_by_socket

# Seconds in which at least one reply of a conversation must end once nothing is hurt any more.
CALM = 60.0
POLL = 0.05


class Storm:
    """One run on one place. Its attributes may be looked at while it goes on."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.plan = plan
        self._quiet = Quiet()
        self.killer = Killer(place.server, plan, self._quiet, self._frames)
        self.talks: list[Talk] = []
        self.interrupted = False
        self.calm = False
        self.found: list[Flaw] = []
        self.began = time.monotonic()
        self._place = place
        self._numbers = itertools.count()

    @property
    def seconds(self) -> float:
        """How long it has gone on."""
        return time.monotonic() - self.began

    @property
    def takeovers(self) -> int:
        """Replies that went on in another process, so far."""
        return sum(talk.takeovers for talk in self.talks)

    @property
    def accepted(self) -> int:
        """Messages with a receipt."""
        return sum(len(talk.asked) for talk in self.talks)

    @property
    def ended(self) -> int:
        """Messages of which all viewers saw the end."""
        return self.accepted - sum(talk.open for talk in self.talks)

    @property
    def flaws(self) -> int:
        """What viewers refused so far."""
        return sum(len(viewer.flaws) for talk in self.talks for viewer in talk.viewers)

    @property
    def frozen(self) -> float:
        """The longest that a reply stood still over a takeover, in seconds."""
        return max((gap for talk in self.talks for gap in talk.viewers[0].gaps), default=0.0)

    def _frames(self) -> int:
        """Events that viewers have seen so far."""
        return sum(viewer.frames for talk in self.talks for viewer in talk.viewers)

    def stop(self) -> None:
        """No more faults and no more messages; what was accepted may still end."""
        self.interrupted = True

    def enough(self) -> bool:
        """Whether nothing more is said or hurt."""
        goal = self.plan.takeovers
        return self.interrupted or self.seconds > self.plan.duration or 0 < goal <= self.takeovers

    async def run(self) -> Verdict:
        """Run it."""
        plan, where = self.plan, self._place
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), headers=where.headers) as session:
            rng = random.Random(f"{plan.seed} poster")
            poster = Poster(session, where.server.url, rng, plan, self._quiet)
            self.began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._weather())
                for _ in range(plan.conversations):
                    tasks.create_task(self._converse(poster))
        seconds = self.seconds
        if foreign := await where.foreign():
            self.found.append(Flaw("wrong", f"{foreign} partial answers that the model never said"))
        return verdict(
            self.talks,
            self.killer.done,
            seed=plan.seed,
            seconds=seconds,
            replayed=poster.replayed,
            left=await where.left(),
            forgotten=self.killer.forgotten,
            interrupted=self.interrupted,
            ours=where.ours,
            more=[*poster.flaws, *self.found],
        )

    async def _converse(self, poster: Poster) -> None:
        """One conversation after the other, each seen to its end."""
        refused = False
        while not (refused or self.enough()):
            try:
                talk = await poster.open(next(self._numbers))
            except Failed as error:
                self.found.append(Flaw("wrong", str(error)))
                return
            self.talks.append(talk)
            async with watched(talk, self._place):
                try:
                    await poster.converse(talk, self.enough)
                except Failed as error:
                    self.found.append(Flaw("wrong", str(error)))
                    refused = True
                await self._settle(talk)
            if not self._place.server.pid:
                await poster.forget(talk)

    async def _settle(self, talk: Talk) -> None:
        """Everything that was accepted is answered, in everyone's eyes; in calm there is progress all the time."""
        count, moved = talk.open, time.monotonic()
        while count and time.monotonic() - moved < CALM:
            await asyncio.sleep(POLL)
            if talk.open != count or not self.calm:
                count, moved = talk.open, time.monotonic()

    async def _weather(self) -> None:
        """Hurt things until it is enough."""
        server = self._place.server
        async with asyncio.TaskGroup() as tasks:
            hurting = tasks.create_task(self.killer.run())
            while not self.enough():
                if server.pid and not command_line(server.pid):
                    self.found.append(Flaw("wrong", f"parley up ended: {server.said()[-500:]}"))
                    self.stop()
                await asyncio.sleep(POLL)
            hurting.cancel()
        self.calm = True


@contextlib.asynccontextmanager
async def watched(talk: Talk, place: Place) -> AsyncIterator[None]:
    """Viewers follow a conversation while the block lasts."""
    watches = zip((watch_by_socket, watch_by_events), talk.viewers, strict=True)
    async with asyncio.TaskGroup() as tasks:
        watching = [
            tasks.create_task(
                watch(place.server.url, talk.conversation, viewer, random.Random(viewer.name), headers=place.headers)
            )
            for watch, viewer in watches
        ]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
