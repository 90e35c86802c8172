"""Patience: how long an answer may stay silent, and whether it may still be asked for anew."""

import asyncio

from parley.models.model import ModelError

# How long to wait for the last words (usage, end mark) behind a finished answer, in seconds.
LAST_WORDS = 2.0


class Patience:
    """One answer's deadlines, over all its tries: the first piece within `first_token`, then never silent for `stall`.

    Made in a running event loop. `until` is the loop time at which waiting ends.
    """

    def __init__(self, first_token: float, stall: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._first_token = first_token
        self._stall = stall
        self.until = self._loop.time() + first_token
        # A piece was handed out: from here on the answer can no longer be begun anew.
        self.started = False
        # Tries that failed.
        self.failures = 0

    def piece(self) -> None:
        """A piece is handed out."""
        if not self.started:
            self.started = True
            self.progress()

    def progress(self) -> None:
        """The upstream said something. Before the first piece that wins no time: the deadline stands."""
        if self.started:
            self.until = self._loop.time() + self._stall

    def last_words(self) -> None:
        """The answer is whole; only its end mark may still come."""
        self.until = min(self.until, self._loop.time() + LAST_WORDS)

    def remaining(self) -> float:
        """Seconds until waiting ends."""
        return self.until - self._loop.time()

    def exhausted(self) -> ModelError:
        """The failure of an upstream that was silent too long."""
        if self.started:
            return ModelError(
                "upstream_stalled",
                f"the upstream fell silent for {self._stall:g} s in mid-answer",
                retryable=True,
            )
        return ModelError(
            "upstream_timeout",
            f"the upstream gave no first word within {self._first_token:g} s",
            retryable=True,
        )
