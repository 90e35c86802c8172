"""The one small interface: an asynchronous iterator of pieces for a transcript.

Guarantees of every implementation:
    - Pieces arrive in order; the concatenation of the text pieces is the answer.
    - The last thing yielded is one `Finish`, unless `ModelError` is raised. Nothing follows either.
    - Closing the iterator (`aclose`, or cancelling the task in it) closes the upstream connection at once.
    - With a `partial` in the transcript (only given to models whose `recovery` is "continue") the pieces are
      what follows it, never the partial again.
    - A model retries by itself only before its first piece.
"""

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from msgspec import Struct

from parley.core.message import Transcript
from parley.core.pieces import Piece
from parley.core.turn import Usage

# What a new owner of an interrupted reply can do: have the model continue right behind the text that stands,
# or have it answer anew (and quietly compare, see worker).
Recovery = Literal["continue", "regenerate"]


class Finish(Struct, frozen=True):
    """The answer is whole. `reason` is OpenAI's finish_reason: stop, length, content_filter, tool_calls."""

    reason: str = "stop"
    usage: Usage | None = None
    model: str = ""  # the name the upstream gave itself, when it did


class Waiting(Struct, frozen=True):
    """The upstream asked to wait (loading, overloaded): progress for the lease, a state for people to see."""

    reason: str
    seconds: float


Answer = AsyncGenerator[Piece | Waiting | Finish, None]


class ModelError(Exception):
    """The upstream failed.

    Args:
        code: stable, for programs: upstream_unreachable, upstream_timeout, upstream_stalled, upstream_error,
            upstream_auth, upstream_rate_limited, upstream_gone, model_not_found, context_too_long,
            upstream_invalid (it sent what it may not), upstream_cut (it stopped in mid-answer),
            continue_refused (it will not take a partial answer: ask again without one).
        message: for people; never holds a secret, a URL with credentials or an upstream body verbatim.
        retryable: a later attempt, or another model, may do better.
        retry_after: seconds the upstream asked us to stay away.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after


class Model(Protocol):
    """A model by name. One object serves any number of answers at once."""

    @property
    def name(self) -> str: ...

    @property
    def recovery(self) -> Recovery: ...

    @property
    def concurrency(self) -> int:
        """How many answers the upstream may be asked for at once, over all workers; 0: no limit."""
        ...

    def answer(self, transcript: Transcript) -> Answer:
        """Stream the answer to a transcript.

        Raises:
            ModelError: while iterating.
        """
        ...

    async def close(self) -> None:
        """Close what the model holds open (connection pools)."""
        ...
