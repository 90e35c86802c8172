"""What every driver does: one conversation, one turn after the other."""

from abc import ABC, abstractmethod

from parley.bench.checker import Reply
from parley.bench.http import Failed, Origin


class Refused(Failed):
    """The server would not take the turn, and said so: not now, come back."""


class Driver(ABC):
    """One conversation with a server.

    Args:
        origin: where the server is.
        model: which model to ask for; "": the server's default one.
    """

    # Whether text arrives as it is made: where it does not, there are no lags.
    streams = True
    # The server keeps what it answered, and it can be asked for.
    keeps = False

    def __init__(self, origin: Origin, model: str = "") -> None:
        self.origin = origin
        self.model = model
        # Seconds from asking until the server vouched for the turn; 0.0 where it does not say.
        self.accepted = 0.0

    @abstractmethod
    async def open(self) -> None:
        """Connect, and make a conversation where there is such a thing."""

    @abstractmethod
    async def turn(self, message: str, reply: Reply) -> None:
        """Say something, and feed the reply until it ends.

        Raises:
            Refused: the server would not take it.
            Failed: the reply failed.
            Wrong: the reply is not what was said.
        """

    async def kept(self) -> str | None:
        """The last reply as the server keeps it; None where that cannot be asked."""
        return None

    @abstractmethod
    async def forget(self) -> None:
        """Delete on the server what was made there, where that can be done. Raises `Failed`."""

    @abstractmethod
    def close(self) -> None:
        """Hang up."""
