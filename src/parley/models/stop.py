"""Stop sequences and white space, cut from an answer while it streams. Pure."""

from collections.abc import Sequence


class StopCutter:
    """Passes text on up to the first stop sequence, and without white space at either end.

    What might yet turn out to be a stop sequence, or white space at the end, is held back: what was passed on is
    never part of either, however the text was cut into pieces. `stopped` tells that a stop sequence was met.
    """

    def __init__(self, stops: Sequence[str], *, strip_start: bool = True) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._strip_start = strip_start
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take the next text; return what of the answer is certain by now."""
        if self.stopped:
            return ""
        text = self._held + text
        if self._strip_start:
            text = text.lstrip()
        # The sequence that is whole first, so that the answer does not depend on how the text is cut.
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return self._passed(text[: min(found)[1]].rstrip())
        safe = text[: len(text) - self._possible(text)].rstrip()
        self._held = text[len(safe) :]
        return self._passed(safe)

    def close(self) -> str:
        """The text is over; return what was held back, without the white space at its end."""
        held, self._held = self._held.rstrip(), ""
        return "" if self.stopped else held

    def _passed(self, text: str) -> str:
        if text:
            self._strip_start = False
        return text

    def _possible(self, text: str) -> int:
        """The length of the longest end of the text that a stop sequence begins with."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
