"""Is the reply what was said, character by character? Pure, and cheap: one comparison of slices a delta."""

from array import array

from parley.bench.speech import Ask


class Wrong(Exception):
    """The reply is not what the model said."""


class Reply:
    """One reply as it arrives. With an `ask` its text is known beforehand; else it is kept, to be compared later.

    `arrivals` holds for each token when it was there whole (`time.monotonic`); without an ask, for each delta.
    """

    __slots__ = ("_ask", "_expected", "_length", "_pieces", "_width", "arrivals", "asked_at", "deltas", "first_at")

    def __init__(self, ask: Ask | None, asked_at: float) -> None:
        self._ask = ask
        self._expected = ask.text if ask else None
        self._width = ask.width if ask else 0
        self._length = 0
        self._pieces: list[str] = []
        self.asked_at = asked_at
        self.first_at = 0.0
        self.deltas = 0
        self.arrivals = array("d")

    def take(self, text: str, now: float) -> None:
        """The next piece came.

        Raises:
            Wrong: it is not what comes next.
        """
        if not text:
            return
        self.first_at = self.first_at or now
        self.deltas += 1
        begin, end = self._length, self._length + len(text)
        self._length = end
        if self._expected is None:
            self._pieces.append(text)
            self.arrivals.append(now)
            return
        if self._expected[begin:end] != text:
            raise Wrong(_difference(self._expected, begin, text))
        for _ in range(end // self._width - len(self.arrivals)):
            self.arrivals.append(now)

    def finish(self, stored: str | None = None) -> None:
        """The reply is over.

        Args:
            stored: what the server kept of it, where that can be asked.

        Raises:
            Wrong: something is missing, or what was kept is not what was sent.
        """
        if self._expected is not None and self._length != len(self._expected):
            raise Wrong(f"lost: it ended after {self._length} of {len(self._expected)} characters")
        said = "".join(self._pieces) if self._expected is None else self._expected
        if stored is not None and stored != said:
            raise Wrong(f"the server kept {len(stored)} characters that are not the {len(said)} it sent")

    @property
    def tokens(self) -> int:
        """Tokens there so far; deltas, where tokens are not known."""
        return len(self.arrivals)

    def lags(self, began: float) -> list[float]:
        """How late each token was, in seconds, when the upstream began at `began`."""
        delay = self._ask.delay if self._ask else 0.0
        return [arrived - began - at * delay for at, arrived in enumerate(self.arrivals)]


def _difference(expected: str, begin: int, text: str) -> str:
    """What went wrong with the piece at `begin`, for people: a guess by where else such a piece could stand."""
    right = expected[begin : begin + len(text)]
    at = next((index for index, (a, b) in enumerate(zip(right, text, strict=False)) if a != b), len(right))
    if at == len(right):
        what = "something behind the end"
    elif text in expected[:begin]:
        what = "repeated"
    elif text in expected[begin:]:
        what = "lost"
    else:
        what = "changed"
    where = begin + at
    return f"{what} at character {where}: {text[at : at + 24]!r} for {expected[where : where + 24]!r}"
