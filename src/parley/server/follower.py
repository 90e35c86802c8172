"""A follower: one client's place in one conversation. It trusts nothing it hears without checking the chain.

Live entries come from the bell. One that does not join where the follower stands means that entries are missing: it
is *behind*, reads the log from its own cursor, and takes a snapshot where the log cannot go on. What is heard meanwhile
is kept, and followed once it joins where the log was read to; where it does not, the log is read once more. So nothing
is lost, even when the missing entry was the last one for a long time, and a reply that comes faster than the log is
read is caught up with all the same.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from parley.core.cursor import sequence
from parley.core.errors import Gone, NotFound, Unavailable
from parley.core.event import Entry
from parley.server.errors import INTERNAL_ERROR
from parley.server.outbox import INTERNAL, Frame, Outbox, frame
from parley.wire import frames

log = logging.getLogger(__name__)

# Entries read at once.
PAGE = 500

# What the log holds behind a cursor, as frames, oldest first; None when it cannot go on from there.
Read = Callable[[str], Awaitable[Sequence[Frame] | None]]


class Follower:
    """One client's place in one conversation.

    Args:
        read: what the log holds behind a cursor.
        snapshot: a snapshot with so many turns, as a frame; the name is the client's, or None.
        turns: how many turns a snapshot of this follower has.
    """

    __slots__ = (
        *("_begun", "_heard", "_more", "_read", "_snapshot", "_task"),
        *("behind", "conversation", "cursor", "outbox", "over", "present", "told", "turns"),
    )

    def __init__(
        self,
        conversation: str,
        outbox: Outbox,
        read: Read,
        snapshot: Callable[[int, str | None], Awaitable[Frame]],
        turns: int,
    ) -> None:
        self.conversation = conversation
        self.outbox = outbox
        self.turns = turns
        self.cursor = ""
        self.behind = True
        self.over = False  # left, or the conversation is gone: nothing more is sent
        self.present = False  # somebody looks at it, and is told how many do
        self.told = 0  # the number told last
        self._begun = False
        self._heard: list[tuple[Entry, Frame]] = []  # while behind
        self._more = False  # the log is to be read once more
        self._read = read
        self._snapshot = snapshot
        self._task: asyncio.Task[None] | None = None

    async def begin(self, after: str | None, opening: Frame | None, name: str | None) -> None:
        """Send what stands behind a cursor, or a snapshot when there is no cursor or no going on from it.

        Args:
            opening: sent first when the log goes on from the cursor.

        Raises:
            NotFound, Gone, Unavailable.
        """
        entries = None if after is None else await self._read(after)
        if entries is None or after is None:
            await self._replace(name)
        else:
            self.cursor = after
            if opening is not None:
                self.outbox.put(opening)
        self._begun = True
        if entries or self._heard or self._more:
            # In a task of its own: the client may not be reading yet.
            self._task = asyncio.create_task(self._catch_up(entries or ()))
        else:
            self.behind = False

    def hear(self, entry: Entry, frame: Frame) -> None:
        """A live entry."""
        if self.behind:
            if len(self._heard) < PAGE:
                self._heard.append((entry, frame))
            else:
                self._heard.clear()
                self._more = True
        elif entry.previous == self.cursor:
            self.cursor = entry.cursor
            self.outbox.put(frame)
        elif not is_older(entry.cursor, self.cursor):
            self.repair()

    def repair(self) -> None:
        """Something was or may have been missed: look into the log."""
        self.behind = self._more = True
        if self._task is None and self._begun and not self.over:
            self._task = asyncio.create_task(self._catch_up(()))

    def leave(self) -> None:
        """No more of it."""
        self.over = self.behind = True
        if self._task is not None:
            self._task.cancel()

    async def _catch_up(self, entries: Sequence[Frame]) -> None:
        """Send these entries and what the log holds behind them, until what is heard joins."""
        delay = 0.1
        try:
            await self._send(entries)
            while not await self._join():
                try:
                    await self._read_on()
                except Unavailable:
                    self._more = True
                    await asyncio.sleep(delay * random.uniform(0.5, 1.5))
                    delay = min(delay * 2, 1.0)
            self.behind = False
        except (Gone, NotFound):
            self.over = True
            body = {"type": "deleted", "conversation": self.conversation, "cursor": self.cursor}
            self.outbox.put(Frame("deleted", frames.encode(body), self.cursor))
        except Exception:
            log.exception("following %s failed", self.conversation)
            self.outbox.put(frame("error", conversation=self.conversation, error=INTERNAL_ERROR.envelope()["error"]))
            self.outbox.close(INTERNAL, "our fault: come back with your cursor")
        finally:
            self._task = None

    async def _join(self) -> bool:
        """Send what was heard while behind; tells whether it joins, so that the log need not be read again."""
        while self._heard:
            heard, self._heard = self._heard, []
            for entry, made in heard:
                if entry.previous == self.cursor:
                    await self.outbox.fit(len(made.data))
                    self.outbox.put(made)
                    self.cursor = entry.cursor
                elif not is_older(entry.cursor, self.cursor):
                    return False
        more, self._more = self._more, False
        return not more

    async def _read_on(self) -> None:
        entries = await self._read(self.cursor)
        if entries is None:
            await self._replace(None)
        else:
            await self._send(entries)

    async def _send(self, entries: Sequence[Frame]) -> None:
        if len(entries) >= PAGE:
            self._more = True
        for entry in entries:
            await self.outbox.fit(len(entry.data))
            self.outbox.put(entry)
            self.cursor = entry.cursor

    async def _replace(self, name: str | None) -> None:
        snapshot = await self._snapshot(self.turns, name)
        await self.outbox.fit(len(snapshot.data))
        self.outbox.put(snapshot)
        self.cursor = snapshot.cursor


def is_older(cursor: str, other: str) -> bool:
    """Whether an entry was surely written no later than another: smaller number and not a later clock.

    A smaller number with a later clock was issued again after the database had been rolled back.
    """
    if sequence(cursor) > sequence(other):
        return False
    return int(cursor.partition("-")[2]) <= int(other.partition("-")[2])
