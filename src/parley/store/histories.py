"""Histories: conversations that are saved message by message, by somebody who asks the model himself.

What a user says waits in the conversation's draft until its answer is saved: then both are one turn, which has ended
already. A user's message holds the conversation for its writer, so that two writers take turns; a writer that
never saves the answer is waited for no longer than `HOLD`.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from parley.core import ids
from parley.core.about import About, title_of
from parley.core.errors import Gone, NotFound, TooLarge, TooMany
from parley.core.limits import Lifetimes, Limits
from parley.core.message import Message
from parley.core.turn import Turn
from parley.store.conversations import Conversations
from parley.store.durability import NoBarrier
from parley.store.keys import Keys
from parley.store.nodes import Nodes
from parley.store.scripts import Scripts
from parley.wire import record

# How long an unanswered message keeps other writers waiting, in seconds: what a serverless platform gives an action.
HOLD = 60.0
# How long to wait for one's turn: behind an unanswered message, and behind replies of workers.
PATIENCE = 120.0
# An answer becomes deltas of at most so many characters, as a model's would be.
PIECE = 4096

_about = msgspec.json.Decoder(About)
_message = msgspec.json.Decoder(Message)
_encode = msgspec.json.Encoder().encode


class Recalled(Struct, frozen=True):
    """A conversation on the way to its newest turn, oldest first, and the messages that wait for an answer."""

    about: About
    head: str
    turns: tuple[Turn, ...]
    draft: tuple[Message, ...]


class Histories:
    """The histories of one deployment (one Redis, one prefix).

    Every method raises Unavailable when the store is out of reach.
    """

    def __init__(self, client: Nodes, keys: Keys, limits: Limits, lifetimes: Lifetimes) -> None:
        self._keys = keys
        self._limits = limits
        self._scripts = Scripts(client)
        self._conversations = Conversations(client, keys, limits, lifetimes, NoBarrier())

    def name(self) -> str:
        """A name for a conversation that is yet to begin."""
        return ids.conversation_id(secrets.token_bytes(16), len(self._keys.shards))

    async def begin(self, conversation: str, owner: str, instructions: str = "") -> None:
        """Begin a conversation; again is harmless."""
        await self._conversations.create(conversation, owner, About(instructions=instructions))
        await self._conversations.note(owner, conversation)

    async def entitle(self, conversation: str, owner: str, text: str) -> None:
        """Give the conversation a title, unless it has one.

        Raises:
            NotFound, Gone: this owner has no such conversation (any more).
        """
        about = (await self.recall(conversation, owner, turns=0)).about
        if not about.title:
            await self._conversations.change(conversation, about.changed(title=title_of(text)))

    async def recall(self, conversation: str, owner: str, *, turns: int | None = None) -> Recalled:
        """Everything there is, or the newest turns only; renews the conversation's life.

        Raises:
            NotFound, Gone: this owner has no such conversation (any more).
        """
        args = (owner, self._limits.turns if turns is None else turns)
        reply = await self._scripts.run("recall", self._keys.conversation(conversation), args)
        if reply[0] != b"OK":
            raise _missing(reply[0])
        _, about, head, draft, found = reply
        path = [record.decode_turn(*found[at : at + 3]) for at in range(0, len(found), 3)]
        return Recalled(_about.decode(about), head.decode(), tuple(path[::-1]), tuple(_lines(draft)))

    async def save(
        self, conversation: str, owner: str, writer: str, message: Message, *, patience: float = PATIENCE
    ) -> tuple[str, str]:
        """Add a message, as soon as it is this writer's turn. Replies the newest turn before it, and now.

        Args:
            writer: who saves, without spaces; a writer never waits for itself.

        Raises:
            NotFound, Gone: there is no such conversation (any more).
            TooLarge: the message, or the conversation with it, is too big.
            TooMany: others kept the conversation busy all the time.
        """
        most = self._limits.reply_bytes if message.role == "assistant" else self._limits.message_bytes
        if len(message.content.encode()) > most:
            raise TooLarge("message_too_large", "The message is too large.")
        keys, args = self._keys.conversation(conversation), self._arguments(conversation, writer, message)
        until, pause = time.monotonic() + patience, 0.005
        while True:
            reply = await self._scripts.run("save", keys, args)
            if reply[0] == b"OK":
                if message.role == "assistant":
                    await self._conversations.note(owner, conversation)
                return reply[1].decode(), reply[2].decode()
            if reply[0] == b"FULL":
                raise TooLarge("conversation_full", "The conversation has reached its size.")
            if reply[0] not in (b"BUSY", b"HELD"):
                raise _missing(reply[0])
            if time.monotonic() > until:
                raise TooMany("conversation_busy", "Others keep this conversation busy.", retry_after=2)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.2)

    def _arguments(self, conversation: str, writer: str, message: Message) -> tuple[bytes | str | int, ...]:
        key = secrets.token_hex(8)
        answer = message.role == "assistant"
        turn = ids.turn_id(conversation, key) if answer else ""
        text = message.content if answer else ""
        line = b"" if answer else _encode(message)
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        limits = self._limits
        return (
            key, writer, int(HOLD * 1000), message.role, line, turn, limits.turns, limits.history_bytes, *pieces,
        )  # fmt: skip


def _lines(draft: bytes) -> Iterator[Message]:
    for line in draft.split(b"\n")[:-1]:
        yield _message.decode(line.split(b" ", 2)[2])


def _missing(answer: bytes) -> Exception:
    if answer == b"GONE":
        return Gone("conversation_deleted", "This conversation was deleted.")
    return NotFound("conversation_not_found", "No such conversation.")
