"""Migration: conversations of the seeds become conversations of ours, once each, however often it is tried."""

import hashlib
import hmac
import secrets
from typing import Any, Literal

from msgspec import Struct

from parley.core import ids
from parley.core.about import About
from parley.core.errors import Conflict, Gone, NotFound, Unavailable
from parley.core.limits import Lifetimes, Limits
from parley.core.turn import Private, Turn
from parley.store.conversations import Barrier, Conversations
from parley.store.keys import Keys
from parley.store.nodes import Nodes
from parley.store.scripts import TRANSIENT
from parley.store.seed_data import Old
from parley.store.sessions import Sessions
from parley.wire import old_seeds

# Whose the course's conversations become: the owner of the deployment.
OWNER = "local"

Result = Literal["new", "more", "there", "deleted", "empty"]


class Migrated(Struct, frozen=True):
    """What came of one conversation.

    new: it was not here. more: what had been added there since was added here. there: it was here already, nothing
    was changed. deleted: it was here and was deleted a moment ago. empty: there is nothing to read in it.
    """

    result: Result
    conversation: str = ""
    turns: int = 0


class Migration:
    """Into one deployment."""

    def __init__(self, client: Nodes, keys: Keys, limits: Limits, lifetimes: Lifetimes, barrier: Barrier) -> None:
        self._client = client
        self._keys = keys
        self._lifetimes = lifetimes
        self._sessions = Sessions(client, keys, lifetimes)
        self._conversations = Conversations(client, keys, limits, lifetimes, barrier)
        self._salt = b""

    async def write(self, old: Old) -> Migrated:
        """Write one conversation, or what is missing of it; a tutorial's token is its session's again.

        Raises:
            Unavailable: the store is out of reach; trying again goes on from there.
        """
        if not old.said:
            return Migrated("empty")
        conversation = await self._name(old)
        instructions, said = old_seeds.instructions_of(old.said)
        about = About(title=old_seeds.title(said), instructions=instructions)
        turns = list(old_seeds.turns(conversation, said))
        owner, life = OWNER, 0
        if old.seed == "tutorial":
            session = await self._sessions.find(old.key)
            if session is None:
                session = await self._sessions.open(old.key, old.name, conversation=conversation, began=old.started)
            owner, life = f"session:{session.id}", self._lifetimes.session_cap
        try:
            new = await self._conversations.create(conversation, owner, about, ttl=life)
            known = [] if new else await self._known(conversation, turns)
            if known is None:
                return Migrated("there", conversation)
            written = await self._conversations.copy(conversation, turns[len(known) :])
        except (Gone, NotFound, Conflict):
            return Migrated("deleted", conversation)
        await self._conversations.note(owner, conversation)
        return Migrated("new" if new else "more", conversation, written)

    async def _known(self, conversation: str, turns: list[tuple[Turn, Private]]) -> list[str] | None:
        """The turns that are here already, if the others follow right behind them; None: there is nothing to add."""
        here = await self._conversations.snapshot(conversation, turns=len(turns) + 1)
        names = [turn.id for turn in here.turns]
        if len(names) >= len(turns) or names != [turn.id for turn, _ in turns[: len(names)]]:
            return None
        return names

    async def _name(self, old: Old) -> str:
        """The same every time, and nothing that whoever sees the old key's name could guess."""
        if not self._salt:
            self._salt = await self._fetch_salt()
        digest = hmac.digest(self._salt, f"{old.seed}\n{old.key}".encode(), hashlib.sha256)
        return ids.conversation_id(digest[:16], len(self._keys.shards))

    async def _fetch_salt(self) -> bytes:
        key = f"{self._keys.prefix}migration".encode()
        call = self._client.multiplexer.call
        try:
            await call(("SET", key, secrets.token_bytes(16), "NX"))
            found: Any = await call(("GET", key))
        except TRANSIENT as error:
            raise Unavailable("store_unreachable", "The store is out of reach.", retry_after=1) from error
        return bytes(found)
