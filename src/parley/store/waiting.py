"""Waiting, for things of which there are thousands: asyncio's Event and Queue hold up to three deques of 624 bytes
each from the beginning, these nothing until somebody waits or something comes."""

import asyncio
from typing import Any


class Flag:
    """An asyncio.Event."""

    __slots__ = ("_set", "_waiters")

    def __init__(self, *, up: bool = False) -> None:
        self._set = up
        self._waiters: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Whether it is up."""
        return self._set

    def set(self) -> None:
        """Put it up, and wake all who wait for that."""
        self._set = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Take it down."""
        self._set = False

    async def wait(self) -> None:
        """Wait until it is up."""
        if not self._set:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class Mailbox:
    """An asyncio.Queue without bounds, for one reader and few items."""

    __slots__ = ("_filled", "_items")

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._filled = Flag()

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._items

    def put_nowait(self, item: Any) -> None:
        """Add an item."""
        self._items.append(item)
        self._filled.set()

    async def get(self) -> Any:
        """The oldest item, once there is one."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self._items.pop(0)
