"""Events: what happened in a conversation. An entry of its log is an event and its place.

`offset` and `length` count UTF-8 bytes of the reply's current generation.
"""

from typing import Any

from msgspec import Struct

from parley.core.pieces import Channel
from parley.core.turn import Request, Status, TurnError, Usage


class Queued(Struct, frozen=True, tag="queued"):
    """A message was accepted: its turn waits. From here on it will be answered, or visibly fail."""

    turn: str
    parent: str
    request: Request


class Started(Struct, frozen=True, tag="started"):
    """A worker took the turn for the first time."""

    turn: str


class TakenOver(Struct, frozen=True, tag="takeover"):
    """Another worker goes on with the turn; the text shown stands. `attempt`: tries without progress."""

    turn: str
    attempt: int


class Delayed(Struct, frozen=True, tag="delayed"):
    """The model asked to wait for about so many seconds; it will be asked again."""

    turn: str
    reason: str
    seconds: float


class Delta(Struct, frozen=True, tag="delta"):
    """A piece of the reply was added at `offset`."""

    turn: str
    gen: int
    offset: int
    text: str
    channel: Channel = "text"


class Rewound(Struct, frozen=True, tag="rewind"):
    """The reply's bytes from `offset` on are withdrawn; deltas of generation `gen` replace them."""

    turn: str
    gen: int
    offset: int


class Ended(Struct, frozen=True, tag="end"):
    """The turn is over, with `length` bytes of reply; nothing more will ever be said of it."""

    turn: str
    status: Status
    length: int
    error: TurnError | None = None
    usage: Usage | None = None
    model: str = ""


class Changed(Struct, frozen=True, tag="changed"):
    """The conversation's description (title and the like) was changed: the new values."""

    about: dict[str, Any]


class Shared(Struct, frozen=True, tag="shared"):
    """The conversation may be read by whoever shows the link of which this is kept; empty: by no link any more."""

    link: str


class Deleted(Struct, frozen=True, tag="deleted"):
    """The conversation is gone."""


Event = Queued | Started | Delayed | TakenOver | Delta | Rewound | Ended | Changed | Shared | Deleted


class Entry(Struct, frozen=True):
    """A numbered event: where it stands, what stands before it, and the event as JSON."""

    cursor: str
    previous: str
    data: bytes
