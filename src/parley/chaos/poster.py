"""The poster: says things until they are acknowledged, each under one idempotency key."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from parley.bench.http import Failed
from parley.chaos.flaw import Flaw
from parley.chaos.plan import Plan
from parley.chaos.quiet import Quiet
from parley.chaos.talk import Asked, Talk
from parley.chaos.viewer import COME_BACK

# Whoever is not served for so long is not served at all.
PATIENCE = 60.0
AGAIN = 0.1
# Turns of one conversation: no more than a viewer asks for at once.
LONG = 100
POLL = 0.05


class Poster:
    """Posts to one server; a post is sent again until its receipt is there."""

    def __init__(self, session: aiohttp.ClientSession, url: str, rng: random.Random, plan: Plan, quiet: Quiet) -> None:
        self._session = session
        self._url = url
        self._rng = rng
        self._quiet = quiet
        self._tokens = plan.tokens
        self._ahead = plan.ahead
        # Where it is generated anew, every answer is another one.
        self._script = f"delay={plan.delay:g}{' vary' if plan.recovery == 'regenerate' else ''}"
        self._anew = plan.rollbacks and plan.recovery == "regenerate"
        self._about = {"model": plan.model} if plan.model else {}
        self._run = f"{rng.random()}"
        self.replayed = 0
        self.flaws: list[Flaw] = []

    async def open(self, number: int) -> Talk:
        """Make a conversation. Raises `Failed`."""
        made = await self._insist("/api/conversations", self._about, f"{self._run}-{number}")
        return Talk(made["id"], number, anew=self._anew)

    async def forget(self, talk: Talk) -> None:
        """Delete a conversation that is over."""
        with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
            await self._session.delete(f"{self._url}/api/conversations/{talk.conversation}")

    async def converse(self, talk: Talk, enough: Callable[[], bool]) -> None:
        """Say one thing at least and then more, often before the last one is answered. Raises `Failed`."""
        for turn in range(1, LONG + 1):
            receipt = await self._say(talk, turn)
            while not enough() and self._rng.random() < 0.8 and not talk.ended(receipt):
                await asyncio.sleep(POLL)
            while not enough() and talk.open >= self._ahead:
                await asyncio.sleep(POLL)
            if enough():
                return

    async def _say(self, talk: Talk, turn: int) -> str:
        asked = Asked(f"c{talk.number}t{turn}", self._rng.randrange(*self._tokens))
        text = f"say {asked.tokens} tag={asked.tag} {self._script}"
        path = f"/api/conversations/{talk.conversation}/turns"
        receipt: str = (await self._insist(path, {"input": text}, f"k{turn}"))["turn"]
        talk.accept(receipt, asked)
        if self._rng.random() < 0.2:
            self.replayed += 1
            again = await self._insist(path, {"input": text}, f"k{turn}")
            if again["turn"] != receipt:
                self.flaws.append(Flaw("repeated", f"{asked.tag} was accepted twice: {receipt}, {again['turn']}"))
        return receipt

    async def _insist(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Post until it is acknowledged. Raises `Failed`."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
                headers = {"Idempotency-Key": key}
                async with (
                    self._quiet.post(),
                    self._session.post(f"{self._url}{path}", json=body, headers=headers) as answer,
                ):
                    if answer.status in (200, 201, 202):
                        found: dict[str, Any] = await answer.json()
                        return found
                    if answer.status not in COME_BACK:
                        raise Failed(f"{path} was refused: {answer.status} {await answer.text()}", answer.status)
            await asyncio.sleep(AGAIN)
        raise Failed(f"{path} was not accepted for {PATIENCE:g} s")
