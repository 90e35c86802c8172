"""Quotas: how often, and for how many tokens, someone may speak. Values only; the store counts (lib/allow.lua).

A rate is a token bucket that holds a minute's worth and fills evenly. A budget counts the tokens of replies that have
ended, from midnight to midnight (UTC).
"""

from msgspec import Struct

# What an empty model's reply costs when nobody counted: bytes of text a token, as a rule of thumb.
BYTES_A_TOKEN = 4


class Rate(Struct, frozen=True):
    """At most `minute` in a minute, all at once if need be. `name`: of whom or of what."""

    name: str
    minute: int


class Budget(Struct, frozen=True):
    """At most `tokens` a day, then no more is accepted until midnight. `name`: of whom or of what."""

    name: str
    tokens: int


class Quota(Struct, frozen=True):
    """What one post is measured by; nothing in it: it is not measured at all."""

    rates: tuple[Rate, ...] = ()
    budgets: tuple[Budget, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rates or self.budgets)


class Standing(Struct, frozen=True):
    """How someone stands after a post, by the rate that leaves the least.

    `reset`: seconds until nothing of it is used any more.
    """

    limit: int
    remaining: int
    reset: float
