"""A turn as clients see it, read back: the inverse of `frames.turn_body`, for turns that have ended."""

from typing import Annotated

from msgspec import Meta, Struct

from parley.core.pieces import Piece, record
from parley.core.turn import TERMINAL_STATUSES, Outcome, Request, Status, Takeover, Turn, TurnError, Usage

Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Parent = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class KeptTurn(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A turn of an export. How reasoning, text and calls alternated is not told by it: they come in this order."""

    turn: Id
    parent: Parent = ""
    created_at: Count = 0
    request: Request
    status: Status
    text: str = ""
    reasoning: str = ""
    tool: str = ""
    started_at: Count = 0
    ended_at: Count = 0
    attempts: Count = 0
    takeovers: Annotated[list[Takeover], Meta(max_length=1000)] = []
    error: TurnError | None = None
    usage: Usage | None = None
    model: str = ""
    # What follows from the rest, or counts elsewhere only.
    response: str = ""
    gen: Count = 1
    length: Count = 0

    @property
    def ended(self) -> bool:
        """Whether nothing will ever change about it."""
        return self.status in TERMINAL_STATUSES


class Restore(Struct, frozen=True, forbid_unknown_fields=True):
    """Turns to write into a conversation, oldest first."""

    turns: Annotated[list[KeptTurn], Meta(min_length=1, max_length=200)]


def turn_of(kept: KeptTurn) -> Turn:
    """The turn as it is stored."""
    channels = (Piece(kept.reasoning, "reasoning"), Piece(kept.text), Piece(kept.tool, "tool"))
    pieces = [piece for piece in channels if piece.text]
    outcome = Outcome(
        status=kept.status,
        body="".join(piece.text for piece in pieces),
        pieces=record(pieces),
        generation=1,
        started_at=kept.started_at,
        ended_at=kept.ended_at,
        error=kept.error,
        usage=kept.usage,
        model=kept.model,
        attempts=kept.attempts,
        lost="".join(f"{each.at}:{each.length} " for each in kept.takeovers),
    )
    return Turn(kept.turn, kept.parent, kept.created_at, kept.request, kept.status, outcome)
