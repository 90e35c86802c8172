"""A talk: one conversation, what was asked in it and accepted, and the viewers who watch it."""

from msgspec import Struct

from parley.chaos.viewer import Viewer


class Asked(Struct, frozen=True):
    """A message that was accepted: the tokens it asks for bear this tag, and are so many."""

    tag: str
    tokens: int


class Talk:
    """A conversation under watch: one viewer over the WebSocket, one over Server-Sent Events.

    Args:
        anew: an answer that Redis forgot may be another one afterwards.
    """

    def __init__(self, conversation: str, number: int, *, anew: bool = False) -> None:
        self.conversation = conversation
        self.number = number
        self.asked: dict[str, Asked] = {}  # by the turn of the receipt
        self._open: set[str] = set()
        self.viewers = tuple(Viewer(f"{way} {conversation}", anew=anew) for way in ("socket", "events"))

    @property
    def takeovers(self) -> int:
        """Replies that went on in another process."""
        return self.viewers[0].view.takeovers

    @property
    def open(self) -> int:
        """Accepted messages of which not all viewers have seen the end."""
        self._open = {turn for turn in self._open if not self.ended(turn)}
        return len(self._open)

    def accept(self, turn: str, asked: Asked) -> None:
        """A message has its receipt."""
        self.asked[turn] = asked
        self._open.add(turn)

    def ended(self, turn: str) -> bool:
        """Whether all viewers saw the end of a turn."""
        return all(viewer.ended(turn) for viewer in self.viewers)
