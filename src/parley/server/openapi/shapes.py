"""What answers look like, as types: for the description only, nothing is built from them.

A client ignores fields it does not know, so more may come than stands here; what stands here without a default always
comes.
"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from parley.core.turn import Request, Status, TurnError, Usage


class Fault(Struct):
    """What went wrong: `code` is for programs, `message` for people, `param` names the field."""

    message: str
    type: str
    code: str
    param: str | None


class Error(Struct):
    """An error of this server, in the form OpenAI gave it."""

    error: Fault


class OllamaError(Struct):
    """An error, in Ollama's form."""

    error: str


class Detail(Struct):
    """An error, in the form of the second seed's framework."""

    detail: str | dict[str, Any] | list[dict[str, Any]]


class Output(Struct):
    """A reply of an action of the first seed, an error as well."""

    output: str
    state: str | UnsetType = UNSET
    streaming: bool | UnsetType = UNSET


class LoggedIn(Struct):
    """Whether a login was right, and the token it gave."""

    authenticated: bool
    token: str | UnsetType = UNSET
    s3_key: str | UnsetType = UNSET


class RpcFault(Struct):
    """What went wrong, by JSON-RPC's numbers."""

    code: int
    message: str
    data: Any = None


class RpcAnswer(Struct):
    """A response of JSON-RPC 2.0: a result or an error."""

    jsonrpc: Literal["2.0"]
    id: str | int | None
    result: dict[str, Any] | UnsetType = UNSET
    error: RpcFault | UnsetType = UNSET


class Health(Struct):
    """It is well."""

    status: Literal["ok"]


class Conversation(Struct):
    """A conversation without its turns; times are unix milliseconds."""

    id: str
    object: Literal["conversation"]
    created_at: int
    updated_at: int
    expires_at: int
    title: str
    assistant: str
    model: str
    metadata: dict[str, str]
    turns: int
    head: str
    status: Literal["idle", "queued", "in_progress"]


class Conversations(Struct):
    """A page of a list."""

    object: Literal["list"]
    data: list[Conversation]
    has_more: bool


class Turn(Struct):
    """A turn: what was said, and as much of the reply as there is; `length` counts UTF-8 bytes of all channels."""

    turn: str
    response: str
    parent: str
    created_at: int
    request: Request
    status: Status
    gen: int
    length: int
    text: str
    reasoning: str | UnsetType = UNSET
    tool: str | UnsetType = UNSET
    started_at: int | UnsetType = UNSET
    ended_at: int | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    error: TurnError | UnsetType | None = UNSET
    usage: Usage | UnsetType | None = UNSET
    model: str | UnsetType = UNSET


class Turns(Struct):
    """A page of a conversation's history: `first` is the index of its first turn, of `total`."""

    object: Literal["list"]
    data: list[Turn]
    first: int
    total: int


class Queue(Struct):
    """The turns that have not ended yet, in order."""

    object: Literal["list"]
    data: list[Turn]


class Snapshot(Struct):
    """All there is to show of a conversation, and the cursor it stands at."""

    type: Literal["snapshot"]
    conversation: str
    cursor: str
    about: Conversation
    first: int
    total: int
    turns: list[Turn]
    waiting: list[str]


class SharedSnapshot(Struct):
    """A snapshot as readers of a link are shown it: some things are left out."""

    type: Literal["snapshot"]
    conversation: str
    cursor: str
    about: dict[str, Any]
    turns: list[dict[str, Any]]


class SharedTurns(Struct):
    """A page of history as readers of a link are shown it."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first: int
    total: int


class Receipt(Struct):
    """The message was accepted: it is answered once, or visibly fails. `durability` says what that stands on."""

    type: Literal["receipt"]
    conversation: str
    turn: str
    response: str
    status: Status
    cursor: str
    position: int
    durability: Literal["memory", "fsync", "replicated"]
    replayed: bool
    key: str


class Description(Struct):
    """What a conversation is told to be, with what no frame shows."""

    title: str
    assistant: str
    model: str
    metadata: dict[str, str]
    instructions: str
    parameters: dict[str, Any]


class Share(Struct):
    """A link for readers: its token, and the path of its page."""

    object: Literal["share"]
    token: str
    path: str


class Deleted(Struct):
    """It is gone."""

    id: str
    object: str
    deleted: Literal[True]


class Cancelled(Struct):
    """How the turn stands now, and whether this request changed it."""

    turn: str
    status: Status
    changed: bool


class Written(Struct):
    """How many turns were not there yet."""

    written: int


class Choice(Struct):
    """A model or an assistant; `model` is the one an assistant answers with."""

    name: str
    model: str | UnsetType = UNSET


class Choices(Struct):
    """What there is to choose from."""

    models: list[Choice]
    assistants: list[Choice]
    default: str | None


class Session(Struct):
    """A session token: it is told this once."""

    token: str
    name: str
    started_at: int
    expires_in: int


class Thing(Struct):
    """An object of another protocol, as its own documentation describes it."""

    id: str
    object: str


class Things(Struct):
    """A list of another protocol, as its own documentation describes it."""

    object: str
    data: list[Any]


class SeedSession(Struct):
    """A session of the second seed with all that was said in it."""

    token: str
    messages: list[dict[str, Any]]
    name: str
    session_start: str
