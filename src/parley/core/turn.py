"""A turn: input messages and the response to them; it has a parent turn, so a conversation is a tree."""

from typing import Any, Literal

from msgspec import Struct, field

from parley.core.message import Message, Parameters

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

# Once a turn has one of these it never changes again.
TERMINAL_STATUSES: frozenset[Status] = frozenset({"completed", "incomplete", "failed", "cancelled"})

# The parent of a turn that opens a conversation.
ROOT = ""


class Usage(Struct, frozen=True):
    """Tokens counted by the model; zero when it did not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0  # of the input, read from the model's cache
    reasoning_tokens: int = 0  # of the output, thought and not said


class TurnError(Struct, frozen=True):
    """Why a turn failed: a code programs can act on and a sentence people can read."""

    code: str
    message: str


class Request(Struct, frozen=True, omit_defaults=True):
    """What a turn asks. Everyone who may read the conversation may read this part."""

    input: tuple[Message, ...]
    model: str = ""
    assistant: str = ""


class Private(Struct, frozen=True, omit_defaults=True):
    """The part of what a turn asks that only its worker reads: instructions and parameters.

    `whole`: the model is shown all that was said before, whatever the window. `echo` holds what only the interface
    that took the turn understands, and shows again to whom it belongs.
    """

    instructions: str = ""
    parameters: Parameters = field(default_factory=Parameters)
    whole: bool = False
    echo: dict[str, Any] = field(default_factory=dict)


class Takeover(Struct, frozen=True):
    """A worker was lost and another one went on: when, in unix milliseconds, and how many bytes of reply there were."""

    at: int
    length: int


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What came of a turn, as folded at its end: the reply's pieces and how it ended.

    `lost` holds its takeovers as they are stored: ``<ms>:<bytes> `` for each.
    """

    status: Status
    body: str = ""
    pieces: str = ""
    generation: int = 0
    started_at: int = 0
    ended_at: int = 0
    error: TurnError | None = None
    usage: Usage | None = None
    model: str = ""
    finish_reason: str = ""
    attempts: int = 0
    lost: str = ""

    @property
    def takeovers(self) -> list[Takeover]:
        """Each time its worker was lost and another one went on, in order."""
        pairs = (each.split(":") for each in self.lost.split())
        return [Takeover(int(at), int(length)) for at, length in pairs]


# The finish reason of a turn that asked for no answer: it only says something.
NOTED = "noted"


class Turn(Struct, frozen=True):
    """A turn as stored. Times are unix milliseconds; `outcome` is None until the turn has ended.

    `removed` are the numbers of its items (input messages, then blocks of the reply) that were taken out of the
    conversation; `withdrawn` tells that nobody may ask for it as a response any more.
    """

    id: str
    parent: str
    created_at: int
    request: Request
    status: Status = "queued"
    outcome: Outcome | None = None
    removed: frozenset[int] = frozenset()
    withdrawn: bool = False
