"""The load: so many conversations at once, each a few turns long, all replies checked. Runs in the present process."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any

from msgspec import DecodeError, Struct, field

from parley.bench.checker import Reply, Wrong
from parley.bench.drivers.base import Driver, Refused
from parley.bench.histogram import Histogram
from parley.bench.http import Connection, Failed, Origin
from parley.bench.speech import Ask

# Connections that are made at once.
OPENING = 32
# Errors of which the text is kept.
KEPT = 5

# One tag a turn, over all loads of this process.
NUMBERS = itertools.count()


class Plan(Struct, frozen=True, kw_only=True):
    """What is asked.

    `ramp` spreads the beginnings evenly over so many seconds (None: over a second, or over one token's delay where that
    is longer). A reply that has not ended after `patience` seconds counts as failed.
    `message` is said to a model that is not the deterministic one; its replies are compared with what was kept.
    """

    conversations: int = 64
    turns: int = 2
    tokens: int = 200
    delay: float = 0.02
    ramp: float | None = None
    message: str = ""
    patience: float = 300.0

    @property
    def spread(self) -> float:
        """Seconds from the first conversation's beginning to the last one's."""
        return max(1.0, self.delay) if self.ramp is None else self.ramp


class Told(Struct):
    """What came of it. Latencies in seconds."""

    wall: float = 0.0
    deltas: int = 0
    tokens: int = 0
    replies: int = 0
    refused: int = 0
    failed: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    first: Histogram = field(default_factory=Histogram)
    whole: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    accept: Histogram = field(default_factory=Histogram)
    # The upstream's own lateness in milliseconds.
    upstream_late: dict[str, float] = field(default_factory=dict)


class Load:
    """A plan against one server.

    Args:
        make: makes the driver of one conversation.
        upstream: where the deterministic upstream is, to ask it for its schedule; None: it is another model.
        on_reply: told after every reply, for progress.
    """

    def __init__(
        self,
        plan: Plan,
        make: Callable[[], Driver],
        upstream: Origin | None,
        on_reply: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._make = make
        self._upstream = upstream
        self._on_reply = on_reply
        self._told = Told()
        self._replies: dict[str, Reply] = {}
        self.drivers: list[Driver] = []

    async def open(self) -> None:
        """Make all conversations and connect. Raises `Failed`."""
        gate = asyncio.Semaphore(OPENING)

        async def one() -> Driver:
            async with gate:
                driver = self._make()
                await driver.open()
                return driver

        self.drivers = await asyncio.gather(*(one() for _ in range(self._plan.conversations)))

    async def run(self) -> Told:
        """Say everything, and wait for all replies."""
        if self._upstream is not None:
            await schedule(self._upstream)  # begins to count anew
        began = time.monotonic()
        step = self._plan.spread / max(1, len(self.drivers))
        await asyncio.gather(*(self._converse(driver, at * step) for at, driver in enumerate(self.drivers)))
        self._told.wall = time.monotonic() - began
        if self._upstream is not None:
            served = await schedule(self._upstream)
            self._told.upstream_late = served["late_ms"]
            for tag, reply in self._replies.items():
                self._told.lag.add_all(reply.lags(served["began"][tag]))
        return self._told

    async def forget(self) -> None:
        """Delete what was made on the server, as far as it lets us."""
        for driver in self.drivers:
            with contextlib.suppress(Failed):
                await driver.forget()

    def close(self) -> None:
        """Hang up."""
        for driver in self.drivers:
            driver.close()

    async def _converse(self, driver: Driver, wait: float) -> None:
        await asyncio.sleep(wait)
        for _ in range(self._plan.turns):
            try:
                await self._turn(driver)
            except Refused as error:
                self._note(error)
                self._told.refused += 1
            except (Failed, DecodeError) as error:
                self._note(error)
                self._told.failed += 1
                return
            except Wrong as error:
                self._note(error)
                self._told.wrong += 1
                return
            self._on_reply()

    async def _turn(self, driver: Driver) -> None:
        plan, told = self._plan, self._told
        ask = None
        if self._upstream is not None:
            ask = Ask(plan.tokens, plan.delay, f"c{next(NUMBERS)}")
        reply = Reply(ask, time.monotonic())
        try:
            async with asyncio.timeout(plan.patience):
                await driver.turn(ask.message if ask else plan.message, reply)
        except TimeoutError:
            raise Failed(f"no end of the reply after {plan.patience:g} s") from None
        ended = time.monotonic()
        reply.finish(await driver.kept() if ask is None and driver.keeps else None)
        told.replies += 1
        told.deltas += reply.deltas
        told.tokens += reply.tokens
        told.whole.add(ended - reply.asked_at)
        if driver.accepted:
            told.accept.add(driver.accepted)
        if driver.streams and reply.first_at:
            told.first.add(reply.first_at - reply.asked_at)
            if ask is not None and plan.delay:
                self._replies[ask.tag] = reply

    def _note(self, error: Exception) -> None:
        if len(self._told.errors) < KEPT:
            self._told.errors.append(str(error))


async def schedule(upstream: Origin) -> Any:
    """What the upstream did since it was last asked: when it began with each tag, how late its tokens were."""
    http = await Connection.open(upstream)
    try:
        return await http.json("GET", "/schedule")
    finally:
        http.close()
