"""The line: whether a turn waits that nobody takes, folded from what is heard."""

from parley.core.about import About
from parley.core.event import Entry
from parley.core.snapshot import Partial, Snapshot
from parley.server.line import SETTLED, Line
from parley.server.outbox import entry_frame

ONE, TWO = "1" * 16, "2" * 16


class Told:
    """A line that is told entries."""

    def __init__(self) -> None:
        self.line = Line()
        self.last = "0-0"

    def hear(self, kind: str, turn: str = "", *, lost: bool = False) -> None:
        number = int(self.last.split("-")[0]) + 1
        cursor, named = f"{number}-{number * 1000}", f',"turn":"{turn}"' if turn else ""
        entry = Entry(cursor, self.last, f'{{"type":"{kind}"{named}}}'.encode())
        self.last = cursor
        if not lost:
            self.line.hear(entry, entry_frame("c", entry))

    def look(self, *waiting: str, running: str = "") -> None:
        """Take a snapshot."""
        partial = Partial(running) if running else None
        line = (running, *waiting) if running else waiting
        self.line.restore(
            Snapshot(
                conversation="c",
                cursor=self.last,
                owner="o",
                created_at=0,
                expires_at=0,
                about=About(),
                head="",
                total=0,
                first=0,
                turns=(),
                running=partial,
                waiting=line,
            )
        )


def test_a_turn_waits_from_queued_to_started() -> None:
    told = Told()
    told.look()
    told.hear("queued", ONE)
    assert (told.line.head, told.line.since) == (ONE, 1)
    told.hear("queued", TWO)
    assert told.line.head == ONE
    told.hear("started", ONE)
    assert told.line.head == ""
    told.hear("delta", ONE)
    told.hear("end", ONE)
    assert (told.line.head, told.line.since) == (TWO, 2)
    told.hear("end", TWO)
    assert told.line.head == ""


def test_it_is_told_every_so_often_and_anew_for_each_turn() -> None:
    told = Told()
    told.look()
    told.hear("queued", ONE)
    told.hear("queued", TWO)
    assert [told.line.tick(3) for _ in range(7)] == [False, False, True, False, False, True, False]
    told.hear("started", ONE)
    assert not told.line.tick(1)
    told.hear("end", ONE)
    assert [told.line.tick(2) for _ in range(2)] == [False, True]


def test_nothing_is_told_while_nothing_is_known() -> None:
    told = Told()
    told.hear("queued", ONE)
    assert told.line.head == ""
    assert not told.line.unknown
    assert [told.line.tick(1) for _ in range(SETTLED)] == [False] * SETTLED
    unknown = told.line.unknown
    told.look(ONE)
    assert (unknown, told.line.unknown) == (True, False)
    assert (told.line.head, told.line.since) == (ONE, 0)


def test_a_lost_entry_makes_it_ask_again_once_all_is_quiet() -> None:
    told = Told()
    told.look()
    told.hear("queued", ONE)
    told.hear("started", ONE, lost=True)
    told.hear("delta", ONE)
    told.hear("delta", ONE)
    assert not told.line.tick(1)
    for _ in range(SETTLED):
        told.line.tick(1)
    assert told.line.unknown
    told.look(running=ONE)
    assert told.line.head == ""


def test_a_snapshot_older_than_what_was_heard_is_not_believed() -> None:
    told = Told()
    stale = told.last
    told.hear("queued", ONE)
    told.hear("started", ONE)
    told.last, now = stale, told.last
    told.look()
    told.last = now
    for _ in range(SETTLED):
        told.line.tick(1)
    assert told.line.unknown


def test_after_a_reset_a_smaller_snapshot_is_believed() -> None:
    told = Told()
    told.look()
    for _ in range(5):
        told.hear("changed")
    told.line.forget()
    told.last = "2-9000"
    told.look(ONE)
    assert told.line.head == ONE
