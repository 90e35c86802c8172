"""One who reads a conversation's events, one by one, at his own pace."""

import asyncio
from collections import deque

from parley.client.errors import Error
from parley.client.link import Link
from parley.client.values import Event, Frame

# Events kept for a reader who is slower than the conversation. With more he is fed from the log again, from where he
# is: nothing is lost and nobody else waits for him.
ROOM = 1_000


class Follower:
    """Events of a conversation behind a cursor."""

    def __init__(self, link: Link, conversation: str, after: str | None) -> None:
        self.conversation = conversation
        self._link = link
        self._cursor = after
        self._events: deque[Event] = deque()
        self._some = asyncio.Event()
        self._error: Error | None = None
        self._behind = False

    async def next(self) -> Event:
        """The next event.

        Raises:
            Error: it cannot be followed any more.
        """
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._behind:
                self._behind = False
                self._link.watch(self)
            self._some.clear()
            await self._some.wait()
        return self._events.popleft()

    def position(self) -> str | None:
        """The cursor of the last event that was kept."""
        return self._cursor

    def frame(self, frame: Frame) -> None:
        """Keep an event."""
        if self._behind:
            return
        if len(self._events) >= ROOM:
            self._behind = True
            self._link.unwatch(self)
            return
        if frame.cursor:
            self._cursor = frame.cursor
        self._events.append(Event(frame.type, self.conversation, self._cursor or "", frame.turn, frame.raw))
        self._some.set()

    def refused(self, error: Error) -> None:
        """It cannot be followed any more."""
        self._error = error
        self._some.set()
