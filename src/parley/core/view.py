"""A view: the fold of snapshots and entries. What any client shows, and the referee of every test.

``fold(tail, fold(head)) == fold(all)`` at every cut. An entry that does not join what the view stands on raises
`Gap` (take a snapshot); one that joins but would lose, repeat or reorder text raises `Violation`, which a correct
server never causes.
"""

from msgspec import Struct

from parley.core import event
from parley.core.cursor import START
from parley.core.pieces import LETTERS, boundaries
from parley.core.snapshot import Snapshot
from parley.core.turn import TERMINAL_STATUSES, Request, Status


class Gap(Exception):
    """The entry does not follow what was seen: entries are missing, or the log is another one."""


class Violation(Exception):
    """The log breaks one of its promises."""


class TurnView(Struct):
    """A turn as shown. `body` holds the bytes of all channels, `pieces` their boundaries (core.pieces)."""

    parent: str
    request: Request
    status: Status
    gen: int = 1
    body: bytes = b""
    pieces: str = ""
    rewinds: int = 0


class View:
    """What one viewer knows of a conversation."""

    def __init__(self) -> None:
        self.cursor = START
        self.turns: dict[str, TurnView] = {}
        self.about: dict[str, object] = {}
        self.link = ""
        self.deleted = False
        self.takeovers = 0

    def restore(self, snapshot: Snapshot) -> None:
        """Replace everything by a snapshot."""
        self.cursor = snapshot.cursor
        self.about = snapshot.about.public()
        self.link = snapshot.link
        self.turns = {}
        for turn in snapshot.turns:
            shown = TurnView(turn.parent, turn.request, turn.status)
            if turn.outcome:
                shown.gen, shown.pieces = turn.outcome.generation or 1, turn.outcome.pieces.strip()
                shown.body = turn.outcome.body.encode()
            elif snapshot.running and snapshot.running.turn == turn.id:
                shown.gen, shown.pieces = snapshot.running.generation, snapshot.running.pieces.strip()
                shown.body = snapshot.running.body.encode()
            self.turns[turn.id] = shown

    def apply(self, cursor: str, previous: str, happened: event.Event) -> None:
        """Fold one entry.

        Raises:
            Gap: `previous` is not where this view stands.
            Violation: the event contradicts what this view knows.
        """
        if previous != self.cursor:
            raise Gap(f"at {self.cursor}, got {cursor} after {previous}")
        self._fold(happened)
        self.cursor = cursor

    def _fold(self, happened: event.Event) -> None:
        match happened:
            case event.Queued(turn, parent, request):
                if turn in self.turns:
                    raise Violation(f"{turn} queued twice")
                self.turns[turn] = TurnView(parent, request, "queued")
            case event.Started(turn):
                self._turn(turn, "queued").status = "in_progress"
            case event.TakenOver(turn):
                self._turn(turn, "in_progress")
                self.takeovers += 1
            case event.Delayed(turn):
                self._turn(turn, "in_progress")
            case event.Delta():
                self._delta(happened)
            case event.Rewound(turn, gen, offset):
                shown = self._turn(turn, "in_progress")
                if gen != shown.gen + 1 or offset > len(shown.body):
                    raise Violation(f"rewind of {turn} to {gen}/{offset} at {shown.gen}/{len(shown.body)}")
                shown.gen, shown.body, shown.pieces = gen, shown.body[:offset], _cut(shown.pieces, offset)
                shown.rewinds += 1
            case event.Ended(turn, status, length):
                shown = self._turn(turn, "in_progress", "queued")
                if status not in TERMINAL_STATUSES or length != len(shown.body):
                    raise Violation(f"{turn} ended {status} at {length}, shown {len(shown.body)}")
                shown.status = status
            case event.Changed(about):
                self.about = about
            case event.Shared(link):
                self.link = link
            case event.Deleted():
                self.deleted = True

    def _delta(self, delta: event.Delta) -> None:
        shown = self._turn(delta.turn, "in_progress")
        if delta.gen != shown.gen or delta.offset != len(shown.body):
            raise Violation(f"delta of {delta.turn} at {delta.gen}/{delta.offset}, shown {shown.gen}/{len(shown.body)}")
        text = delta.text.encode()
        shown.body += text
        shown.pieces = f"{shown.pieces} {LETTERS[delta.channel]}{len(text)}".strip()

    def _turn(self, turn: str, *allowed: Status) -> TurnView:
        shown = self.turns.get(turn)
        if shown is None:
            raise Violation(f"{turn} was never queued")
        if shown.status not in allowed:
            raise Violation(f"{turn} is {shown.status}, not {' or '.join(allowed)}")
        return shown


def _cut(pieces: str, offset: int) -> str:
    """The boundaries of the first `offset` bytes."""
    kept: list[str] = []
    for letter, size in boundaries(pieces):
        if offset <= 0:
            break
        kept.append(f"{letter}{min(size, offset)}")
        offset -= size
    return " ".join(kept)
