"""Sessions: who speaks, for how long. Only the SHA-256 of a token is at rest."""

import hashlib
import hmac
import time
from typing import Any

from msgspec import Struct

from parley.core.errors import Unavailable
from parley.core.limits import Lifetimes
from parley.store.keys import Keys
from parley.store.nodes import Nodes
from parley.store.rates import Rates
from parley.store.scripts import TRANSIENT, Scripts

# How the hash of a login's secret is told from a secret itself, which the first seed's own login keeps.
HASHED = "sha256:"


class Session(Struct, frozen=True):
    """What a token stands for. `conversation` is the seeds' one conversation a token, else empty."""

    id: str
    name: str
    started_at: float
    conversation: str = ""


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Sessions:
    """The sessions of one deployment."""

    def __init__(self, client: Nodes, keys: Keys, lifetimes: Lifetimes) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._keys = keys
        self._lifetimes = lifetimes
        self.rates = Rates(client, keys)

    async def open(self, token: str, name: str, *, conversation: str = "", began: float | None = None) -> Session:
        """Remember a new token. It slides by use, up to its latest end.

        Args:
            began: when it began elsewhere, in unix seconds; its latest end counts from now all the same.

        Raises:
            Unavailable: the store is out of reach or full.
        """
        hashed = token_hash(token)
        now = time.time()
        started = now if began is None else began
        latest = int((now + self._lifetimes.session_cap) * 1000)
        fields = ("name", name, "started", repr(started), "conversation", conversation)
        args = (self._lifetimes.session_idle * 1000, latest, *fields)
        await self._scripts.run("open_session", [self._keys.session(hashed)], args)
        return Session(hashed[:32], name, started, conversation)

    async def find(self, token: str) -> Session | None:
        """The session of a token, renewed; None when it is unknown or over."""
        hashed = token_hash(token)
        reply = await self._scripts.run("use_session", [self._keys.session(hashed)])
        if not reply:
            return None
        fields = {reply[at].decode(): reply[at + 1].decode() for at in range(0, len(reply), 2)}
        return Session(hashed[:32], fields["name"], float(fields["started"]), fields["conversation"])

    async def close(self, token: str) -> None:
        """Forget a token at once."""
        await self._scripts.run("close_session", [self._keys.session(token_hash(token))])

    # Logins of the first seed: one secret a user, so that a second login ends the first.

    async def log_in(self, user: str, secret: str) -> None:
        """Let a user be known by a secret from now on, for as long as an idle session lives.

        Raises:
            Unavailable: the store is out of reach.
        """
        try:
            command = ("SET", self._keys.login(user), HASHED + token_hash(secret), "EX", self._lifetimes.session_idle)
            await self._client.multiplexer.call(command)
        except TRANSIENT as error:
            raise _unreachable() from error

    async def is_logged_in(self, user: str, secret: str) -> bool:
        """Whether a user is known by this secret; never by an empty one.

        Raises:
            Unavailable: the store is out of reach.
        """
        try:
            kept: Any = await self._client.multiplexer.call(("GET", self._keys.login(user)))
        except TRANSIENT as error:
            raise _unreachable() from error
        if not kept:
            return False
        # The seed's login keeps the secret as it is.
        shown = HASHED + token_hash(secret) if kept.startswith(HASHED.encode()) else secret
        return hmac.compare_digest(kept, shown.encode())


def _unreachable() -> Unavailable:
    return Unavailable("store_unreachable", "The store is out of reach.", retry_after=1)
