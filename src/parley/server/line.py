"""The line of a conversation: which turns wait and whether one runs, folded from the entries heard."""

from parley.core.cursor import START, milliseconds, sequence
from parley.core.event import Entry
from parley.core.snapshot import Snapshot
from parley.server.outbox import Frame

# After so many quiet seconds it is worth asking the store, when entries were missed.
SETTLED = 4


class Line:
    """What is known of a conversation's line; `unknown` until a snapshot, and when entries may have been missed."""

    __slots__ = ("_cursor", "_heard", "_known", "_quiet", "_running", "_waited", "_waiting", "since")

    def __init__(self) -> None:
        self._known = False
        self._cursor = START  # the entry this knowledge stands on
        self._heard = START  # the newest entry heard
        self._running = ""
        self._waiting: dict[str, int] = {}  # turn: when it was queued, unix ms, 0: not known
        self._quiet = 0  # seconds without an entry
        self._waited = 0  # seconds the head has been waiting since it was last said
        self.since = 0  # when the head was queued, unix ms; 0: not known

    @property
    def head(self) -> str:
        """The turn that should run and does not; empty when all is well."""
        return "" if self._running or not self._waiting else next(iter(self._waiting))

    @property
    def unknown(self) -> bool:
        """Whether it is time to ask the store."""
        return not self._known and self._quiet >= SETTLED

    def forget(self) -> None:
        """Entries may have been missed, or the database was rolled back."""
        self._known = False
        self._heard = START

    def hear(self, entry: Entry, frame: Frame) -> None:
        """Fold an entry."""
        self._quiet = 0
        self._heard = entry.cursor
        if not self._known:
            return
        if entry.previous != self._cursor:
            self._known = False
            return
        self._cursor = entry.cursor
        if frame.kind in ("delta", "changed"):
            return
        before = self.head
        if frame.kind == "queued":
            self._waiting[frame.turn] = milliseconds(entry.cursor)
        elif frame.kind in ("started", "takeover"):
            self._waiting.pop(frame.turn, None)
            self._running = frame.turn
        elif frame.kind == "end":
            self._waiting.pop(frame.turn, None)
            if self._running == frame.turn:
                self._running = ""
        elif frame.kind == "deleted":
            self._waiting.clear()
            self._running = ""
        self._step(before)

    def restore(self, snapshot: Snapshot) -> None:
        """Take a snapshot's word, unless more was heard already."""
        if sequence(snapshot.cursor) < sequence(self._heard):
            return
        before = self.head
        known = self._waiting
        self._known = True
        self._cursor = self._heard = snapshot.cursor
        self._running = snapshot.running.turn if snapshot.running else ""
        self._waiting = {turn: known.get(turn, 0) for turn in snapshot.waiting if turn != self._running}
        self._step(before)

    def tick(self, every: int) -> bool:
        """A second has passed. Tells whether it should be said that the head waits."""
        self._quiet += 1
        if not self._known or not self.head:
            self._waited = 0
            return False
        self._waited += 1
        if self._waited < every:
            return False
        self._waited = 0
        return True

    def _step(self, before: str) -> None:
        head = self.head
        if head != before:
            self._waited = 0
        self.since = self._waiting[head] if head else 0
