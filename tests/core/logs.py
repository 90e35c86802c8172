"""Logs as a correct server writes them, for tests of what folds them."""

from collections.abc import Callable

from hypothesis import strategies as st
from msgspec import Struct

from parley.core import event
from parley.core.about import About
from parley.core.message import Message
from parley.core.pieces import Piece, record
from parley.core.snapshot import Partial, Snapshot
from parley.core.turn import Outcome, Request, Status, Turn

# Any text that UTF-8 can carry.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
pieces = st.builds(Piece, texts, st.sampled_from(["text", "reasoning", "tool"]))

OPEN: tuple[Status, ...] = ("queued", "in_progress")


class Written(Struct):
    """A turn while a log is made up."""

    request: Request
    status: Status = "queued"
    gen: int = 1
    said: list[Piece] = []

    @property
    def body(self) -> str:
        return "".join(piece.text for piece in self.said)


class Line(Struct, frozen=True):
    """An entry, and a snapshot as it would be taken right behind it."""

    cursor: str
    previous: str
    event: event.Event
    snapshot: Snapshot


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    """A log with turns that wait, run, are taken over, rewound, ended."""
    turns: dict[str, Written] = {}
    lines: list[Line] = []
    title = ""
    for _ in range(draw(st.integers(0, 25))):
        waiting = [turn for turn, written in turns.items() if written.status in OPEN]
        move = draw(
            st.sampled_from(["queue", "run", "run", "run", "title"] if waiting else ["queue", "queue", "title"])
        )
        happened: event.Event
        if move == "queue":
            turn = f"{len(turns):016x}"
            turns[turn] = Written(Request((Message("user", draw(texts)),)), said=[])
            happened = event.Queued(turn, next(iter(turns)) if len(turns) > 1 else "", turns[turn].request)
        elif move == "title":
            title = draw(texts)
            happened = event.Changed(About(title=title).public())
        else:
            happened = _run(draw, waiting[0], turns[waiting[0]])
        cursor = f"{len(lines) + 1}-{draw(st.integers(1, 10**16))}"
        previous = lines[-1].cursor if lines else "0-0"
        lines.append(Line(cursor, previous, happened, _snapshot(cursor, turns, title)))
    return lines


def _run(draw: Callable[[st.SearchStrategy[object]], object], turn: str, written: Written) -> event.Event:
    if written.status == "queued":
        written.status = "in_progress"
        return event.Started(turn)
    match draw(st.sampled_from(["delta", "delta", "delta", "rewind", "takeover", "delay", "end"])):
        case "delta":
            piece = draw(pieces)
            assert isinstance(piece, Piece)
            at = len(written.body.encode())
            written.said.append(piece)
            return event.Delta(turn, written.gen, at, piece.text, piece.channel)
        case "rewind":
            keep = draw(st.integers(0, len(written.body)))
            assert isinstance(keep, int)
            offset = len(written.body[:keep].encode())
            written.said = _first(written.said, keep)
            written.gen += 1
            return event.Rewound(turn, written.gen, offset)
        case "takeover":
            return event.TakenOver(turn, 2)
        case "delay":
            return event.Delayed(turn, "busy", 1.5)
        case _:
            written.status = "completed"
            return event.Ended(turn, "completed", len(written.body.encode()))


def _first(said: list[Piece], characters: int) -> list[Piece]:
    """The pieces of the first so many characters; empty ones at the cut are gone."""
    kept: list[Piece] = []
    for piece in said:
        if characters <= 0:
            break
        kept.append(Piece(piece.text[:characters], piece.channel))
        characters -= len(piece.text)
    return kept


def _snapshot(cursor: str, turns: dict[str, Written], title: str) -> Snapshot:
    shown: list[Turn] = []
    running = None
    for turn, written in turns.items():
        outcome = None
        if written.status == "completed":
            outcome = Outcome("completed", written.body, record(written.said), written.gen)
        elif written.status == "in_progress":
            running = Partial(turn, written.gen, written.body, record(written.said) + " ")
        parent = shown[0].id if shown else ""
        shown.append(Turn(turn, parent, 1, written.request, written.status, outcome))
    return Snapshot(
        conversation="conv",
        cursor=cursor,
        owner="me",
        created_at=1,
        expires_at=2,
        about=About(title=title),
        head=shown[-1].id if shown else "",
        total=len(shown),
        first=0,
        turns=tuple(shown),
        running=running,
        waiting=tuple(turn.id for turn in shown if turn.status in OPEN),
    )
