"""A snapshot: a fold of a conversation's log and the cursor it goes on from; the one resync verb."""

from msgspec import Struct

from parley.core.about import About
from parley.core.turn import Turn


class Partial(Struct, frozen=True):
    """The reply in progress."""

    turn: str
    generation: int = 1
    body: str = ""
    pieces: str = ""


class Snapshot(Struct, frozen=True):
    """A conversation as it stands at `cursor`.

    `turns` are the newest ones asked for, in the order they were accepted; `first` is the index of the first of
    them among all `total`. Times are unix milliseconds. `link` is what is kept of the link it is shared by, if it is.
    """

    conversation: str
    cursor: str
    owner: str
    created_at: int
    expires_at: int
    about: About
    head: str
    total: int
    first: int
    turns: tuple[Turn, ...]
    running: Partial | None
    waiting: tuple[str, ...]
    link: str = ""
