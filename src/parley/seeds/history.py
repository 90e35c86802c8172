"""What was said, kept in Redis, as the course's second class has it: save lines, load them into a chat, give the id.

It is a conversation like any other: it can be opened in the page, and what is said there is loaded here. `REDIS_URL`
and `REDIS_PREFIX` name it, in `args` or else in the environment; the same prefix given to ``parley up`` is the
same data.
"""

import os
import secrets
import threading
from typing import Any, Protocol

from parley.core import ids
from parley.core.errors import Gone, NotFound
from parley.core.limits import Lifetimes, Limits
from parley.core.message import Message
from parley.core.pieces import channel_text
from parley.core.turn import Turn
from parley.seeds import line, settings
from parley.seeds.background import background
from parley.store.histories import Histories, Recalled
from parley.store.keys import Keys
from parley.store.nodes import nodes

OWNER = "local"
CONNECTIONS = 8

# Tells the writers of one process from those of all others.
PROCESS = secrets.token_hex(8)

# In place of the newest turn: the chat does not have all of what came before.
STALE = "?"


class Loads(Protocol):
    """What a history is loaded into: a `Chat`, or one's own. A list of `messages` is kept up to date."""

    def add(self, message: str) -> None: ...


class History:
    """A conversation, saved line by line.

    Args:
        args: `state` is the id of the conversation to go on with. None, empty, or of none there is: a new one.
        owner: whose conversation it is; of all others one cannot tell whether there is any.

    Attributes:
        expired: a state was given, but there is no such conversation (any more): this is a new one.

    Raises:
        SettingsError: `REDIS_URL` or `REDIS_PREFIX` is missing or cannot be used.
        Unavailable: Redis is out of reach.
    """

    def __init__(self, args: settings.Args, *, owner: str = OWNER) -> None:
        self.expired = False
        self._owner = owner
        self._store = _histories(*settings.store(args), settings.lifetimes(args))
        self._new = True  # nothing is in Redis yet
        self._untitled = True
        self._id = self._store.name()
        # The newest turn that the chat has, or STALE.
        self._head = ""
        # The chat that was loaded, and which of its messages are kept here.
        self._chat: Any = None
        self._begin = self._known = 0
        state = args.get("state")
        if state is not None and state != "":
            self._resume(state)

    def id(self) -> str:
        """The conversation's id: the `state` to give back. It changes when the conversation has expired meanwhile."""
        return self._id

    def save(self, message: str) -> None:
        """Add a message, ``role:content``; it is kept when this returns. The conversation lives a day from now.

        A user's message waits until whatever is being answered in this conversation has been; what was said meanwhile
        is added to the chat that was loaded, before the messages that are new there.

        Raises:
            ValueError: it has no colon, or a role nobody has.
            TooLarge: it, or the conversation with it, is too big.
            TooMany: others keep the conversation busy.
            Unavailable: Redis is out of reach.
        """
        said = line.parse(message)
        if said.role == "system" and self._new:
            background.run(self._store.begin(self._id, self._owner, said.content))
            self._new = False
            return
        try:
            before, head = self._save(said)
        except (NotFound, Gone):
            self._begin_anew()
            before, head = self._save(said)
        if said.role == "assistant":
            # What came in between is missing in the chat: it is caught up with before the next message.
            self._head = head if before == self._head else STALE
            self._known = len(self._chat.messages) if self._chat is not None else 0
        elif before != self._head and self._chat is not None:
            self._catch_up(said)
        if said.role == "user" and self._untitled:
            background.run(self._store.entitle(self._id, self._owner, said.content))
            self._untitled = False

    def load(self, ch: Loads) -> None:
        """Add all messages to a chat."""
        messages: list[Message] = []
        if not self._new:
            try:
                recalled = background.run(self._store.recall(self._id, self._owner))
            except (NotFound, Gone):
                self._begin_anew()
            else:
                self._head, messages = recalled.head, _messages(recalled)
        kept = getattr(ch, "messages", None)
        if isinstance(kept, list):
            self._chat, self._begin, self._known = ch, len(kept), len(kept) + len(messages)
        for message in messages:
            ch.add(f"{message.role}:{message.content}")
        if hasattr(ch, "state"):
            ch.state = self._id

    def _resume(self, state: Any) -> None:
        """Go on with a conversation, if it is there and its owner's."""
        if isinstance(state, str) and ids.is_conversation_id(state):
            try:
                background.run(self._store.recall(state, self._owner, turns=0))
            except (NotFound, Gone):
                pass
            else:
                self._id, self._new, self._untitled = state, False, False
                return
        self.expired = True

    def _begin_anew(self) -> None:
        """The conversation is gone: the next one takes its place."""
        self._id, self._head = self._store.name(), ""
        self._new = self._untitled = self.expired = True
        if hasattr(self._chat, "state"):
            self._chat.state = self._id

    def _save(self, message: Message) -> tuple[str, str]:
        if self._new:
            background.run(self._store.begin(self._id, self._owner))
            self._new = False
        return background.run(self._store.save(self._id, self._owner, _writer(), message))

    def _catch_up(self, saved: Message) -> None:
        """Replace what was loaded into the chat by what there is now, but for the message that was saved just now."""
        recalled = background.run(self._store.recall(self._id, self._owner))
        self._head = recalled.head
        now = _messages(recalled)
        last = len(now) - 1 - now[::-1].index(saved)
        lines = [{"role": message.role, "content": message.content} for message in now[:last] + now[last + 1 :]]
        self._chat.messages[self._begin : self._known] = lines
        self._known = self._begin + len(lines)


def _writer() -> str:
    return f"{PROCESS}.{os.getpid()}.{threading.get_ident()}"


def _histories(url: str, prefix: str, shards: int, lifetimes: Lifetimes) -> Histories:
    """The histories of a deployment, with connections that stay between calls."""

    def make() -> tuple[Histories, Any]:
        client = nodes(url, connections=CONNECTIONS)
        return Histories(client, Keys(prefix, shards), Limits(), lifetimes), client.aclose

    return background.keep((url, prefix, shards, lifetimes), make)


def _messages(recalled: Recalled) -> list[Message]:
    """Everything that was said, in order; what functions were called and what they gave is not a line."""
    messages = [Message("system", recalled.about.instructions)] if recalled.about.instructions else []
    for turn in recalled.turns:
        messages += _said(turn)
    return [message for message in (*messages, *recalled.draft) if message.role in line.ROLES]


def _said(turn: Turn) -> list[Message]:
    outcome = turn.outcome
    answer = channel_text(outcome.body, outcome.pieces) if outcome is not None else ""
    return [*turn.request.input, *([Message("assistant", answer)] if answer else [])]


__all__ = ["History"]
