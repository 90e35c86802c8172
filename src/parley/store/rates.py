"""Rates: how often something may be done, counted in the store, so that it holds over servers and restarts."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

from parley.core.errors import TooMany, Unavailable
from parley.core.quota import Budget, Rate, Standing
from parley.store.keys import Keys
from parley.store.nodes import Nodes
from parley.store.scripts import TRANSIENT, Scripts


class TooFast(TooMany):
    """More often than a rate allows. Carries how its caller stands."""

    def __init__(self, standing: Standing, wait: float) -> None:
        message = f"At most {standing.limit} a minute: try again in {max(1, math.ceil(wait))} s."
        super().__init__("rate_limit_exceeded", message, retry_after=wait)
        self.standing = standing


class OverQuota(TooMany):
    """A day's tokens are spent."""

    def __init__(self, budget: Budget, wait: float) -> None:
        message = f"All {budget.tokens} tokens of today are used; the next ones come at midnight (UTC)."
        super().__init__("insufficient_quota", message, retry_after=wait)


class Rates:
    """The rates of one deployment, for whatever is not a post: posts are measured by their own script."""

    def __init__(self, client: Nodes, keys: Keys) -> None:
        self._multiplexer = client.multiplexer
        self._scripts = Scripts(client)
        self._keys = keys
        # On a cluster each bucket may be on a server of its own.
        self._apart = client.clustered

    async def take(self, *rates: Rate) -> Standing | None:
        """Do something once more. Replies how whoever does it stands then, if there is a rate.

        Raises:
            TooFast: too early; nothing was counted.
            Unavailable: the store is out of reach.
        """
        taken: list[Rate] = []
        told: list[Standing] = []
        for group in self._groups(rates):
            reply = await self._run(1, group)
            if reply[0] == b"SLOW":
                await self.give_back(*taken)
                raise too_fast(reply, group)
            taken += group
            told.append(standing_of(reply[1:]))
        return min(told, key=lambda each: each.remaining, default=None)

    async def give_back(self, *rates: Rate) -> None:
        """It was not done after all, or does not count.

        Raises:
            Unavailable: the store is out of reach.
        """
        for group in self._groups(rates):
            await self._run(-1, group)

    async def check(self, *budgets: Budget) -> None:
        """Refuse when a budget is spent.

        Raises:
            OverQuota. Unavailable: the store is out of reach.
        """
        for budget in budgets:
            counts = await asyncio.gather(*(self._spent(key, budget.name) for key in self._keys.spent))
            if sum(counts) >= budget.tokens:
                raise OverQuota(budget, 86_400 - time.time() % 86_400)

    async def _spent(self, key: bytes, name: str) -> int:
        try:
            found: Any = await self._multiplexer.call(("HGET", key, name))
        except TRANSIENT as error:
            raise Unavailable("store_unreachable", "The store is out of reach.", retry_after=1) from error
        return int(found or 0)

    def _groups(self, rates: Sequence[Rate]) -> list[Sequence[Rate]]:
        if self._apart:
            return [[rate] for rate in rates]
        return [rates] if rates else []

    async def _run(self, count: int, rates: Sequence[Rate]) -> Any:
        keys = [self._keys.rate(rate.name) for rate in rates]
        return await self._scripts.run("take_rate", keys, (count, *(rate.minute for rate in rates)))


def standing_of(reply: list[Any]) -> Standing:
    """How a caller stands, as lib/allow.lua tells it: limit, remaining, milliseconds until nothing is used."""
    limit, remaining, reset = (int(value) for value in reply)
    return Standing(limit, remaining, reset / 1000)


def too_fast(reply: list[Any], rates: Sequence[Rate]) -> TooFast:
    """A refusal by one of these rates."""
    wait = int(reply[1]) / 1000
    limit = rates[int(reply[2]) - 1].minute
    return TooFast(Standing(limit, 0, wait + 60 - 60 / limit), wait)
