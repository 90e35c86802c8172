"""The beat: readers of many streams in step.

Each reading of one more token costs a task its turn in the loop, whatever it finds. A person cannot see the
difference of two frames of a screen, so the more replies one upstream is writing, the longer their readers let tokens
gather, and they all read in the same round of the loop: what they found leaves in one pipeline (docs/design/0008).
"""

import asyncio

# Of each reply under way the beat becomes so much longer, up to the longest, in seconds; below the shortest there is
# none, and every token is read as it comes.
SHARE = 0.000625
SHORTEST, LONGEST = 0.004, 0.050


class Beat:
    """The beat of one upstream. Used in one event loop."""

    def __init__(self) -> None:
        self.readers = 0
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait until the next beat, when there is one."""
        length = self.readers * SHARE
        if length < SHORTEST:
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(min(length, LONGEST), self._strike)
        reader: asyncio.Future[None] = loop.create_future()
        self._waiting.append(reader)
        await reader

    def _strike(self) -> None:
        waiting, self._waiting = self._waiting, []
        for reader in waiting:
            if not reader.done():
                reader.set_result(None)
