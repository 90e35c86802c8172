"""What clients of the native protocol ask (docs/reference/protocol.md): bodies of requests and frames of a socket.

Nothing here is coerced or ignored: an unknown field is an error.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from parley.core.about import Retention
from parley.core.message import Parameters

Policy = Literal["enqueue", "reject", "interrupt"]

# Names of models and assistants, as an operator may choose them. Empty: the default one.
Name = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Title = Annotated[str, Meta(max_length=512)]
Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Instructions = Annotated[str, Meta(max_length=64 * 1024)]
Stop = Annotated[str, Meta(min_length=1, max_length=256)]
# Who may be said to speak here.
Role = Literal["system", "developer", "user", "assistant"]
# The client's own name for a command.
Id = Annotated[str, Meta(max_length=64)]
Turns = Annotated[int, Meta(ge=0, le=200)]


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is asked to answer."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    stop: Stop | Annotated[list[Stop], Meta(max_length=8)] = field(default_factory=list)
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None

    def parameters(self) -> Parameters:
        """The same as a value of core."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        return Parameters(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=stop,
            seed=self.seed,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """An image, as a ``data:`` URL, and how closely to look."""

    url: str
    detail: Literal["auto", "low", "high", "original"] = "auto"


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of what is said. A user may show images with it, or without a word."""

    content: str
    role: Role = "user"
    images: Annotated[list[Shown], Meta(max_length=64)] = field(default_factory=list)


class Describe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PATCH of a conversation: what is not given stays."""

    title: Title | UnsetType = UNSET
    assistant: Name | UnsetType = UNSET
    model: Name | UnsetType = UNSET
    instructions: Instructions | UnsetType = UNSET
    parameters: Asked | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    retention: Retention | UnsetType = UNSET


class Create(Describe, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST of a conversation. `ttl`: its sliding life in seconds; 0: the deployment's."""

    ttl: Annotated[int, Meta(ge=0, le=366 * 86_400)] = 0


class Say(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message. `parent` None: it follows the newest turn."""

    input: str | Annotated[list[Said], Meta(max_length=256)]
    model: Name = ""
    assistant: Name = ""
    instructions: Instructions = ""
    parameters: Asked = Asked()
    parent: Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")] | None = None
    policy: Policy = "enqueue"


class Fork(Struct, frozen=True, forbid_unknown_fields=True):
    """A new conversation that holds the path up to a turn."""

    turn: str


class OpenSession(Struct, frozen=True, forbid_unknown_fields=True):
    """A session token for someone of that name."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]


class Empty(Struct, frozen=True, forbid_unknown_fields=True):
    """A body that has nothing to say."""


# Frames of a socket. `id` comes back in the answer.


class AuthFrame(Struct, frozen=True, forbid_unknown_fields=True, tag="auth", tag_field="type"):
    """Who speaks."""

    token: Annotated[str, Meta(max_length=1000)]
    id: Id | None = None


class FollowFrame(Struct, frozen=True, forbid_unknown_fields=True, tag="follow", tag_field="type", kw_only=True):
    """Begin to follow a conversation, or move to another place in it. `presence`: tell how many look at it."""

    conversation: str
    id: Id | None = None
    after: str | None = None
    turns: Turns = 50
    presence: bool = False


class UnfollowFrame(Struct, frozen=True, forbid_unknown_fields=True, tag="unfollow", tag_field="type"):
    """No more of it."""

    conversation: str
    id: Id | None = None


class SayFrame(Say, frozen=True, forbid_unknown_fields=True, tag="say", tag_field="type", kw_only=True):
    """A message, in a conversation."""

    conversation: str
    id: Id | None = None
    key: str | None = None


class CancelFrame(Struct, frozen=True, forbid_unknown_fields=True, tag="cancel", tag_field="type", kw_only=True):
    """Stop a turn, or withdraw it while it waits."""

    conversation: str
    turn: str
    id: Id | None = None


class PingFrame(Struct, frozen=True, forbid_unknown_fields=True, tag="ping", tag_field="type"):
    """Are you there?"""

    id: Id | None = None


Command = AuthFrame | FollowFrame | UnfollowFrame | SayFrame | CancelFrame | PingFrame
