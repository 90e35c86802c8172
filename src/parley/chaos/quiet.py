"""Quiet: posts are held back for a moment, so that it is known which receipts have been given."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Quiet:
    """Between posters and whoever wants none of their posts under way."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._posting = 0

    @contextlib.asynccontextmanager
    async def post(self) -> AsyncIterator[None]:
        """A post is under way in the block; begins when posts are let through."""
        await self._open.wait()
        self._posting += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._posting -= 1
            if not self._posting:
                self._idle.set()

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """No post is under way in the block. One holder at a time."""
        self._open.clear()
        try:
            await self._idle.wait()
            yield
        finally:
            self._open.set()
