"""A conversation's turns by their place in the order of acceptance, read a page at a time.

A place is an index among all turns; a turn keeps its place for good, and turns end in about that order.
"""

from collections.abc import AsyncIterator

from msgspec import Struct

from parley.core.turn import TERMINAL_STATUSES, Turn
from parley.store.conversations import Conversations

PAGE = 100


class Page(Struct, frozen=True):
    """Turns with their places, oldest first, and how many there are in all."""

    turns: list[tuple[int, Turn]]
    total: int


class Turns:
    """The turns of one conversation.

    Every method raises NotFound or Gone when there is no such conversation, and Unavailable.
    """

    def __init__(self, conversations: Conversations, conversation: str) -> None:
        self._conversations = conversations
        self._conversation = conversation

    async def page(self, start: int, size: int = PAGE) -> Page:
        """At most so many turns from a place on."""
        found = await self._conversations.snapshot(self._conversation, turns=size, before=start + size)
        turns = [(place, turn) for place, turn in enumerate(found.turns, found.first) if place >= start]
        return Page(turns, found.total)

    async def all(self) -> AsyncIterator[tuple[int, Turn]]:
        """Every turn, oldest first."""
        start, total = 0, 1
        while start < total:
            page = await self.page(start)
            for place, turn in page.turns:
                yield place, turn
            start, total = start + PAGE, page.total

    async def open(self) -> int:
        """The place of the first turn that has not ended; the number of turns when all have."""
        found = await self._conversations.snapshot(self._conversation, turns=1)
        places = enumerate(found.turns, found.first)
        return next((place for place, turn in places if turn.status not in TERMINAL_STATUSES), found.total)

    async def place(self, turn: str) -> int | None:
        """The place of a turn; None when there is no such turn."""
        if await self._conversations.turn(self._conversation, turn) is None:
            return None
        before = (await self._conversations.snapshot(self._conversation, turns=0)).total
        while before > 0:
            found = await self._conversations.snapshot(self._conversation, turns=PAGE, before=before)
            for place, each in enumerate(found.turns, found.first):
                if each.id == turn:
                    return place
            before = found.first
        return None
