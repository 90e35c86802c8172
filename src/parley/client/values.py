"""What a server tells a client, as values (docs/reference/protocol.md). Times are unix milliseconds."""

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from parley.client.errors import InvalidRequest, ServerFault
from parley.core.about import Retention
from parley.core.message import Message
from parley.core.turn import TERMINAL_STATUSES, Request, Status, Takeover, TurnError, Usage

Value = TypeVar("Value")
Policy = Literal["enqueue", "reject", "interrupt"]
# What may be said: a text, or messages with role and content.
Said = str | list[dict[str, str]] | list[Message]


class Conversation(Struct, frozen=True):
    """A conversation, without its turns. `shared` is what is kept of the link it is shared by, empty: it is not."""

    id: str
    created_at: int = 0
    updated_at: int = 0
    expires_at: int = 0
    title: str = ""
    assistant: str = ""
    model: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retention: Retention = ""
    shared: str = ""
    turns: int = 0
    head: str = ""
    status: str = "idle"


class Turn(Struct, frozen=True):
    """A turn with as much of its reply as there is; `length` counts the bytes of its three channels."""

    turn: str
    response: str = ""
    parent: str = ""
    created_at: int = 0
    request: Request = field(default_factory=lambda: Request(()))
    status: Status = "queued"
    gen: int = 1
    length: int = 0
    text: str = ""
    reasoning: str = ""
    tool: str = ""
    started_at: int = 0
    ended_at: int = 0
    attempts: int = 0
    takeovers: list[Takeover] = field(default_factory=list)
    error: TurnError | None = None
    usage: Usage | None = None
    model: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing will ever change about it."""
        return self.status in TERMINAL_STATUSES

    @property
    def question(self) -> str:
        """What was asked: the text of its input messages."""
        return "\n\n".join(message.content for message in self.request.input)


class Snapshot(Struct, frozen=True):
    """A conversation as it stands at `cursor`: its newest turns, the first of them the `first` of all `total`."""

    conversation: str
    cursor: str
    about: Conversation
    first: int = 0
    total: int = 0
    turns: list[Turn] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


class Receipt(Struct, frozen=True):
    """The message was accepted: it will be answered once, or visibly fail, whatever dies."""

    conversation: str
    turn: str
    response: str = ""
    status: Status = "queued"
    cursor: str = ""
    position: int = 0
    durability: str = ""
    replayed: bool = False
    key: str = ""


class Choice(Struct, frozen=True):
    """A model or an assistant to choose from."""

    id: str = ""
    name: str = ""
    description: str = ""

    @property
    def word(self) -> str:
        """What to write to choose it."""
        return self.id or self.name


class Models(Struct, frozen=True):
    """What there is to choose from."""

    models: list[Any] = field(default_factory=list)
    assistants: list[Any] = field(default_factory=list)
    default: str | None = None

    def names(self) -> list[str]:
        """The names of the models; a server may list them as names or as objects."""
        return [one if isinstance(one, str) else msgspec.convert(one, Choice).word for one in self.models]


class ErrorBody(Struct, frozen=True):
    """The object in the error envelope."""

    message: str = ""
    type: str = ""
    code: str | None = None
    param: str | None = None


class Frame(Struct, frozen=True):
    """The part of a frame that says where it goes; `raw` is read again by whoever it is for."""

    type: str
    id: str | None = ""
    conversation: str = ""
    cursor: str = ""
    turn: str = ""
    error: Any = None
    retry_ms: int = 0
    retry_after: float | None = None
    seconds: float = 0.0
    raw: bytes = b""


_frame = msgspec.json.Decoder(Frame)
snapshot_decoder = msgspec.json.Decoder(Snapshot)


def read_frame(data: bytes) -> Frame:
    """Read a frame.

    Raises:
        msgspec.MsgspecError: it is none of ours.
    """
    return msgspec.structs.replace(_frame.decode(data), raw=data)


class Event(Struct, frozen=True):
    """One thing that happened in a conversation; `data` is the whole frame.

    Keep `cursor`: `AsyncClient.follow(..., after=cursor)` goes on behind it, at any server, at any time.
    """

    type: str
    conversation: str
    cursor: str
    turn: str
    raw: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The frame's fields."""
        return msgspec.json.decode(self.raw, type=dict[str, Any])


def read(data: bytes, kind: type[Value], *path: str) -> Value:
    """Read what a server answered, or the part of it that a path of names leads to.

    Raises:
        ServerFault: it is something else.
    """
    try:
        if not path:
            return msgspec.json.decode(data, type=kind)
        found: Any = msgspec.json.decode(data)
        for name in path:
            found = found[name]
        return msgspec.convert(found, kind)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ServerFault(f"The server says what this client does not understand: {error}.") from error


def messages(said: Said) -> str | list[Message]:
    """The input of a say: a text, or messages checked.

    Raises:
        InvalidRequest: it is neither.
    """
    if isinstance(said, str):
        return said
    try:
        return msgspec.convert(said, list[Message], from_attributes=True)
    except msgspec.ValidationError as error:
        advice = "What is said is a text, or a list of messages with role and content"
        raise InvalidRequest(f"{advice}: {error}.", param="input") from None


def encode(value: Any) -> bytes:
    """Write what a server is to be told.

    Raises:
        InvalidRequest: something in it cannot be written as JSON, like half a surrogate pair.
    """
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(f"This cannot be sent: {error}.") from None
