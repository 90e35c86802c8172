"""What the web server is told: plain values, handed down by the command line."""

from typing import Any

from msgspec import Struct

from parley.core.limits import Lifetimes, Limits
from parley.models.secret import Secret
from parley.server.theme import Theme
from parley.store.conversations import Conversations
from parley.store.keys import Keys
from parley.store.rates import Rates
from parley.store.sessions import Sessions


class Choice(Struct, frozen=True, omit_defaults=True):
    """A model or an assistant to choose from; `model` is the one an assistant answers with."""

    name: str
    model: str = ""


class Config(Struct, frozen=True, kw_only=True):
    """How one web server behaves.

    Args:
        access_key: whoever shows it is the owner; empty: everyone who reaches a loopback address is.
        origins: more origins (``https://chat.example``) whose pages may speak to us, besides our own.
        hosts: more names we answer to, besides localhost, IP addresses, and those of `origins`; ``*``: any.
        root_path: the path that a proxy serves us below (``/chat``); ``x-forwarded-prefix``: what that header says.
        embed_origin: origins whose pages may show ours in a frame of theirs (server.embed).
        theme: the operator's looks of the page; None: ours.
        models, assistants: what there is to choose from; no models: whatever is asked for is passed on.
        default: the model that answers when none is named.
        users: who may log in as in the first seed: a name and the hash of a password (server.passwords) each.
        greeting: what an assistant says before anything is said to it; ``{name}`` stands for its name.
        session_connections: at most so many sockets and streams of one session at once.
        connections: at most so many sockets and streams of this process.
        proxies: addresses and networks of proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
        model_tokens: for models that may only say so much a day: how many tokens.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    access_key: Secret = Secret()
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    root_path: str = ""
    limits: Limits = Limits()
    lifetimes: Lifetimes = Lifetimes()
    embed_origin: tuple[str, ...] = ()
    theme: Theme | None = None
    models: tuple[Choice, ...] = ()
    assistants: tuple[Choice, ...] = ()
    default: str = ""
    users: dict[str, Secret] = {}
    greeting: str = "Hello from {name}."
    session_connections: int = 64
    connections: int = 10_000
    body_seconds: float = 10.0  # for the whole of a request's head, and again for its body
    auth_seconds: float = 10.0  # for a socket to say who speaks
    proxies: tuple[str, ...] = ()
    model_tokens: dict[str, int] = {}
    quiet_seconds: int = 10  # of silence before a ping, and of waiting before a status
    connection_seconds: float = 3600.0  # how long a WebSocket of /v1/responses may last
    session_check_seconds: int = 30  # how often the sessions of open sockets are looked up again
    drain_seconds: float = 10.0  # for requests under way when the server is told to go

    @property
    def body_bytes(self) -> int:
        """The longest body or socket message: JSON may write a character in as many as six bytes."""
        return 4 * self.limits.message_bytes


class Store(Struct, frozen=True):
    """The store as the server uses it. `client` is a client for the bell: it has no socket timeout."""

    client: Any
    keys: Keys
    conversations: Conversations
    sessions: Sessions

    @property
    def rates(self) -> Rates:
        """What is counted over all servers."""
        return self.sessions.rates
