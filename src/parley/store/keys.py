"""Names of everything in Redis: ``<prefix>{<shard>}:…``, the shard being the hash tag.

A conversation's keys and its shard's work queue share one slot, so each transition of the protocol is one script
on one node. Nothing outside the prefix is ever touched: a Redis user limited to ``~<prefix>*`` is enough.
"""

import hashlib

from parley.core import ids

GROUP = b"w"  # the consumer group on each shard's work queue

# In the order scripts/lib/keys.lua names them: the first seven belong to the conversation and expire together, the
# first four are all that append needs.
OWN = ("meta", "log", "reply", "pieces", "order", "turns", "waiting")
APPENDED = 4
TURNS = OWN.index("turns")
SHARED = ("queue", "active", "dead", "spent", "full")


class Keys:
    """Builds key names for one prefix and number of shards."""

    def __init__(self, prefix: str, shards: int) -> None:
        self.prefix = prefix
        self.shards = tuple(f"{number:02x}" for number in range(shards))
        self._slots = len(self.shards)

    def conversation(self, conversation: str) -> list[bytes]:
        """The twelve keys of lib/keys.lua.

        Raises:
            ValueError: the id is malformed.
        """
        shard = ids.shard_of(conversation)
        base = f"{self.prefix}{{{shard}}}:"
        own = f"{base}c:{conversation}:"
        return [f"{own}{name}".encode() for name in OWN] + [f"{base}{name}".encode() for name in SHARED]

    def appended(self, conversation: str) -> list[bytes]:
        """Those of them that a piece of a reply goes to."""
        return self.conversation(conversation)[:APPENDED]

    def log(self, conversation: str) -> bytes:
        """The log's key, which is also the name of its bell's channel."""
        return f"{self.prefix}{{{ids.shard_of(conversation)}}}:c:{conversation}:log".encode()

    def queue(self, shard: str) -> bytes:
        """A shard's work queue."""
        return f"{self.prefix}{{{shard}}}:queue".encode()

    def sync(self, shard: str) -> bytes:
        """What is written in order to hear that a shard's node has it on disk."""
        return f"{self.prefix}{{{shard}}}:sync".encode()

    def active(self, shard: str) -> bytes:
        """A shard's conversations that have a token."""
        return f"{self.prefix}{{{shard}}}:active".encode()

    def full(self, shard: str) -> bytes:
        """A shard's workers that have no place for another turn."""
        return f"{self.prefix}{{{shard}}}:full".encode()

    def audited(self, shard: str) -> bytes:
        """Stands as long as a shard need not be looked after again."""
        return f"{self.prefix}{{{shard}}}:audited".encode()

    def session(self, token_hash: str) -> bytes:
        """A session, by the SHA-256 of its token."""
        return f"{self.prefix}{{{self._spread(token_hash)}}}:session:{token_hash}".encode()

    def login(self, user: str) -> bytes:
        """Who is logged in as a user: the key that the first seed's own login uses."""
        return f"{self.prefix}TOKEN:{user}".encode()

    def index(self, owner: str) -> bytes:
        """The conversations of an owner."""
        return f"{self.prefix}{{{self._spread(owner)}}}:owner:{owner}".encode()

    def rate(self, name: str) -> bytes:
        """The bucket of a rate (core.quota)."""
        return f"{self.prefix}{{{self._spread(name)}}}:rate:{name}".encode()

    @property
    def spent(self) -> list[bytes]:
        """What was spent today, a hash for each shard's conversations."""
        return [f"{self.prefix}{{{shard}}}:spent".encode() for shard in self.shards]

    def slots(self, model: str) -> bytes:
        """The places of a model's upstream."""
        return f"{self.prefix}{{{self._spread(model)}}}:slots:{model}".encode()

    def _spread(self, name: str) -> str:
        return self.shards[hashlib.sha256(name.encode()).digest()[0] % self._slots]
