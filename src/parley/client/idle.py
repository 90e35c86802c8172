"""Telling when nothing waits or runs in a conversation, from its events."""

from parley.client.values import Event, Snapshot, snapshot_decoder
from parley.core.cursor import sequence


class Idle:
    """Folds events until no turn is open and all that was there at the beginning has been seen.

    Args:
        now: a snapshot from before the first event was read.
    """

    def __init__(self, now: Snapshot) -> None:
        self._until = sequence(now.cursor)
        self._open: set[str] = set()
        self._read(now)

    def fold(self, event: Event) -> None:
        """An event was read."""
        if event.type == "snapshot":
            self._read(snapshot_decoder.decode(event.raw))
        elif event.type == "queued":
            self._open.add(event.turn)
        elif event.type == "end":
            self._open.discard(event.turn)

    def at(self, cursor: str | None) -> bool:
        """Whether it is so for one who has read up to a cursor."""
        return not self._open and bool(cursor) and sequence(cursor or "") >= self._until

    def _read(self, snapshot: Snapshot) -> None:
        self._open = {turn.turn for turn in snapshot.turns if not turn.ended} | set(snapshot.waiting)
