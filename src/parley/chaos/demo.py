"""The demonstration: one long reply, and everything that carries it killed under it, one after the other.

What is told in the end was checked: two viewers that believe nothing, what the conversation holds, and a witness in
front of the model must all agree on the reply, to the character.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
from msgspec import Struct

from parley.bench.processes import command_line, part
from parley.chaos.killer import NAMES
from parley.chaos.place import PREFIX, SHARDS, Place
from parley.chaos.plan import PARTS, Part
from parley.chaos.viewer import Viewer, watch_by_events, watch_by_socket
from parley.chaos.witness import Witness, accounts_for
from parley.core.turn import TERMINAL_STATUSES
from parley.store.connect import connect
from parley.store.keys import Keys
from parley.store.overview import look

QUESTION = "Tell me a long story about a lighthouse keeper, the sea and a storm."
# Characters of the reply at which something is killed, the first time and from one time to the next.
FIRST, NEXT = 160, 240
# Characters that the model may be ahead of what is shown, as long as something is still to be killed.
LEAD = 120
TICK = 0.01
# What is on its way when Redis dies still comes for so long.
ON_ITS_WAY = 0.05
FOREVER = (86_400.0, 86_400.0)
PATIENCE = 180.0


class Kill(Struct):
    """A part that was killed when so many characters were shown, and the seconds until the text went on."""

    part: Part
    pid: int
    at: int
    seconds: float = 0.0


class Check(Struct, frozen=True):
    """Something that must hold, and whether it does."""

    what: str
    holds: bool


class Ending(Struct, frozen=True):
    """What came of it."""

    question: str
    text: str
    kills: list[Kill]
    takeovers: int
    seconds: float
    checks: list[Check]

    @property
    def told(self) -> bool:
        """Whether everything was killed and the text went on each time: else there was not much to see."""
        return len(self.kills) == len(PARTS) and all(kill.seconds for kill in self.kills)

    @property
    def holds(self) -> bool:
        """Whether all that was to be shown was shown, and is true."""
        return self.told and all(check.holds for check in self.checks)


class Audience:
    """Those who are told what happens while it does."""

    def text(self, more: str) -> None:
        """The reply goes on."""

    def withdrawn(self) -> None:
        """The reply is another one from some place on: the whole of it follows."""

    def killed(self, kill: Kill) -> None:
        """Something was killed just now."""

    def back(self, kill: Kill) -> None:
        """The text goes on behind it."""


class Demo:
    """One performance at one place."""

    def __init__(self, place: Place, witness: Witness, audience: Audience, question: str = QUESTION) -> None:
        self._place = place
        self._heard = witness.heard
        witness.held = self._ahead
        self._audience = audience
        self._question = question
        self._viewers = (Viewer("socket"), Viewer("events"))
        self._turn = ""
        self._kills: list[Kill] = []

    def _ahead(self) -> bool:
        """Whether the model is so far ahead of what is shown that the reply could be over before it is seen."""
        last = self._heard[-1]
        return len(self._kills) < len(PARTS) and len(last.partial) + len(last.said) > len(self._text) + LEAD

    @property
    def _text(self) -> str:
        """What the first viewer sees of the reply."""
        shown = self._viewers[0].view.turns.get(self._turn)
        return shown.body.decode(errors="replace") if shown else ""

    async def run(self) -> Ending:
        """Perform. Raises `TimeoutError` when the reply does not end."""
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(self._place.server.url) as session:
            conversation = (await post(session, "/api/conversations", {}))["id"]
            async with watched(self._place.server.url, conversation, self._viewers):
                path = f"/api/conversations/{conversation}/turns"
                self._turn = (await post(session, path, {"input": self._question}))["turn"]
                await self._perform()
            async with session.get(f"/api/conversations/{conversation}") as answer:
                kept = (await answer.json())["turns"]
        seconds = time.monotonic() - began
        checks = [Check(what, holds) for what, holds in self._checks(kept)]
        return Ending(
            self._question, self._text, self._kills, self._viewers[0].view.takeovers, round(seconds, 2), checks
        )

    async def _perform(self) -> None:
        """Show the reply and kill what carries it, until it has ended in everybody's eyes."""
        parts, said = list(PARTS), ""
        while not all(viewer.ended(self._turn) for viewer in self._viewers):
            said = self._show(said)
            due = self._kills[-1].at + NEXT if self._kills else FIRST
            ready = not self._kills or self._kills[-1].seconds
            if parts and len(said) >= due and ready and await self._kill(parts[0], len(said)):
                del parts[0]
            await asyncio.sleep(TICK)
        self._show(said)

    def _show(self, said: str) -> str:
        """Show what is new; returns all that is shown now."""
        text = self._text
        if not text.startswith(said):
            self._audience.withdrawn()
            said = ""
        self._audience.text(text[len(said) :])
        return text

    async def _kill(self, victim: Part, shown: int) -> bool:
        """Kill a part, and see when the text goes on. False: there is none just now."""
        viewer = self._viewers[0]
        pid = await self._holder() if victim == "work" else self._pid(victim)
        if not pid:
            return False
        before = viewer.view.takeovers, viewer.connections
        kill, then = Kill(victim, pid, shown), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self._kills.append(kill)
        self._audience.killed(kill)

        def noticed() -> bool:
            """Whether what is shown from now on came about behind the kill."""
            match victim:
                case "work":
                    return viewer.view.takeovers > before[0]
                case "serve":
                    return viewer.connections > before[1]
                case "redis":
                    return time.monotonic() > then + ON_ITS_WAY

        await self._until(noticed)
        length = len(self._text)
        await self._until(lambda: len(self._text) > length)
        if len(self._text) > length:
            kill.seconds = round(time.monotonic() - then, 3)
            self._audience.back(kill)
        return True

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for something, or for the reply's end."""
        while not condition() and not self._viewers[0].ended(self._turn):
            await asyncio.sleep(TICK / 10)

    def _pid(self, victim: Part) -> int:
        return next((pid for pid in self._place.server.pids if part(pid) == NAMES[victim]), 0)

    async def _holder(self) -> int:
        """The process that writes the reply; 0 when nobody does just now."""
        client = connect(self._place.redis_url, connections=2)
        try:
            running = (await look(client, Keys(PREFIX, SHARDS))).running
        finally:
            await client.aclose()
        names = [f"--consumer {one.worker}" for one in running]
        return next(
            (pid for pid in self._place.server.pids if any(name in command_line(pid) for name in names)),
            0,
        )

    def _checks(self, kept: Sequence[dict[str, object]]) -> list[tuple[str, bool]]:
        text = self._text
        bodies = [viewer.view.turns[self._turn].body.decode() for viewer in self._viewers]
        flaws = sum(len(viewer.flaws) for viewer in self._viewers)
        ended = len(kept) == 1 and kept[0]["status"] in TERMINAL_STATUSES - {"failed", "cancelled"}
        return [
            (f"{len(text):,} characters, each of them said by the model, once", accounts_for(self._heard, text)),
            ("two viewers saw the same, with no gap and no repetition", bodies == [text] * 2 and not flaws),
            ("the conversation holds one answer, and it is this one", ended and kept[0]["text"] == text),
        ]


async def post(session: aiohttp.ClientSession, path: str, body: dict[str, str]) -> dict[str, str]:
    """Post something that is accepted."""
    async with session.post(path, json=body, raise_for_status=True) as answer:
        found: dict[str, str] = await answer.json()
        return found


@contextlib.asynccontextmanager
async def watched(url: str, conversation: str, viewers: tuple[Viewer, Viewer]) -> AsyncIterator[None]:
    """Both follow while the block lasts, and come back only when they are thrown out."""
    async with asyncio.TaskGroup() as tasks:
        watching = [
            tasks.create_task(watch(url, conversation, viewer, random.Random(0), FOREVER))
            for watch, viewer in zip((watch_by_socket, watch_by_events), viewers, strict=True)
        ]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
