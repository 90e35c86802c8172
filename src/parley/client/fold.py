"""The text of one reply, folded from deltas and rewinds. Applying anything twice does no harm. Pure.

Offsets on the wire count UTF-8 bytes over all channels; who reads the text counts characters in one. `floors`
keeps, for each time text was withdrawn, how many characters of each channel stood: a reader who has read further
than a floor he has not seen yet must go back to it.
"""

import os
from io import StringIO
from typing import NamedTuple

from parley.core.pieces import LETTERS, Channel


class Floor(NamedTuple):
    """How many characters stood when text was withdrawn."""

    text: int
    reasoning: int


class Gap(Exception):
    """The piece does not join what stands: take a snapshot."""


class ReplyText:
    """What stands of a reply."""

    def __init__(self) -> None:
        self.gen = 1
        self.length = 0  # bytes, of all channels
        self.floors: list[Floor] = []
        self._channels: dict[Channel, StringIO] = {channel: StringIO() for channel in LETTERS}
        self._sizes: dict[Channel, int] = dict.fromkeys(LETTERS, 0)  # characters
        self._runs: list[tuple[Channel, int]] = []  # bytes of each run of one channel, in order
        # A snapshot gives each channel's text, not how they alternate.
        self._order_known = True

    def size(self, channel: Channel = "text") -> int:
        """Characters of a channel."""
        return self._sizes[channel]

    def read(self, channel: Channel = "text", start: int = 0) -> str:
        """A channel's text from a character on."""
        buffer = self._channels[channel]
        buffer.seek(start)
        return buffer.read()

    def delta(self, gen: int, offset: int, text: str, channel: Channel = "text") -> bool:
        """Add a piece; tells whether it was new.

        Raises:
            Gap: something between is missing.
        """
        size = len(text.encode())
        if gen < self.gen or (gen == self.gen and offset + size <= self.length):
            return False
        if gen != self.gen or offset != self.length:
            raise Gap(f"a piece at {gen}/{offset}, shown is {self.gen}/{self.length}")
        self._add(channel, text, size)
        return True

    def rewind(self, gen: int, offset: int) -> bool:
        """Withdraw the bytes from an offset on; tells whether that was new.

        Raises:
            Gap: something between is missing, or only a snapshot can tell what is withdrawn.
        """
        if gen <= self.gen:
            return False
        if gen != self.gen + 1 or offset > self.length or (offset < self.length and not self._order_known):
            raise Gap(f"a rewind to {gen}/{offset}, shown is {self.gen}/{self.length}")
        self._cut(offset)
        self.gen = gen
        self.floors.append(Floor(self.size("text"), self.size("reasoning")))
        return True

    def check(self, length: int) -> None:
        """Compare with how long it is said to be.

        Raises:
            Gap: something is missing.
        """
        if length != self.length:
            raise Gap(f"the reply has {length} bytes, shown are {self.length}")

    def replace(self, gen: int, length: int, text: str, reasoning: str, tool: str = "") -> None:
        """Become what a snapshot shows; what it has in common with what stands, stays."""
        shown: dict[Channel, str] = {"reasoning": reasoning, "text": text, "tool": tool}
        common = {channel: _common(self.read(channel), new) for channel, new in shown.items()}
        if any(common[channel] < self.size(channel) for channel in shown):
            self.floors.append(Floor(common["text"], common["reasoning"]))
        self._runs = []
        self.gen, self.length = gen, 0
        for channel, new in shown.items():
            kept = common[channel]
            self._channels[channel].seek(kept)
            self._channels[channel].truncate()
            self._sizes[channel] = kept
            self._runs.append((channel, len(new[:kept].encode())))
            self.length += len(new[:kept].encode())
            self._add(channel, new[kept:], len(new[kept:].encode()))
        self._order_known = sum(map(bool, shown.values())) < 2
        self.check(length)

    def _add(self, channel: Channel, text: str, size: int) -> None:
        buffer = self._channels[channel]
        buffer.seek(0, os.SEEK_END)
        buffer.write(text)
        self._sizes[channel] += len(text)
        if self._runs and self._runs[-1][0] == channel:
            self._runs[-1] = (channel, self._runs[-1][1] + size)
        else:
            self._runs.append((channel, size))
        self.length += size

    def _cut(self, offset: int) -> None:
        kept: list[tuple[Channel, int]] = []
        left: dict[Channel, int] = dict.fromkeys(LETTERS, 0)
        room = offset
        for channel, size in self._runs:
            size = min(size, room)
            room -= size
            if size:
                kept.append((channel, size))
                left[channel] += size
        for channel, size in left.items():
            stands = self.read(channel).encode()[:size].decode(errors="ignore")
            buffer = self._channels[channel]
            buffer.seek(len(stands))
            buffer.truncate()
            self._sizes[channel] = len(stands)
        self._runs, self.length = kept, offset


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    if other.startswith(one):
        return len(one)
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))
