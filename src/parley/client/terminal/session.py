"""The conversation the terminal is in: created with the first message, remembered for the next call."""

from parley.client.client import AsyncClient
from parley.client.errors import NotFound
from parley.client.reply import AsyncReply
from parley.client.terminal.memory import Memory
from parley.client.terminal.names import resolve
from parley.client.values import Conversation, Snapshot, Turn
from parley.core.message import Parameters

TITLE = 60  # characters of the first message that make the title


class Session:
    """Where the terminal speaks.

    Attributes:
        conversation: its id; "" until the first message.
        model: asked for each message; "" leaves it to the conversation.
        system: instructions of the conversations that are created from here.
        parameters: how the model is asked to answer from here on.
        turns: how many the conversation has, as far as is known here.
    """

    def __init__(self, client: AsyncClient, memory: Memory, *, model: str = "", system: str = "") -> None:
        self._client = client
        self._memory = memory
        self.conversation = ""
        self.model = model
        self.system = system
        self.parameters = Parameters()
        self.turns = 0
        self._behind: str | None = None  # the turn that the next message is said behind; None: the newest

    def new(self) -> None:
        """Leave the conversation: the next message begins another."""
        self.conversation, self.turns, self._behind = "", 0, None

    async def say(self, text: str, *, parent: str | None = None) -> AsyncReply:
        """Say something, in a new conversation if there is none yet."""
        if not self.conversation:
            title = " ".join(text.split())
            title = title if len(title) <= TITLE else title[: TITLE - 1] + "…"
            made = await self._client.create(title=title, instructions=self.system)
            self.conversation = made.id
        self._memory.remember(self._client.url, self.conversation)
        behind = self._behind if parent is None else parent
        self._behind = None
        self.turns += 1
        return self._client.say(self.conversation, text, model=self.model, parent=behind, parameters=self.parameters)

    async def resume(self) -> Snapshot | None:
        """Go on with the conversation last spoken in, from here or elsewhere; None when there is none."""
        last = self._memory.last(self._client.url)
        if last is not None:
            try:
                return await self.open(last)
            except NotFound:
                pass  # it has expired, or was deleted
        found = await self._client.conversations(limit=1)
        return await self.open(found[0].id) if found else None

    async def open(self, name: str) -> Snapshot:
        """Go on with a conversation.

        Args:
            name: its id, or the beginning of it with or without ``conv_``.

        Raises:
            NotFound: there is none, or more than one.
        """
        conversation = await resolve(self._client, name)
        snapshot = await self._client.get(conversation, turns=1)
        self.conversation, self.turns, self._behind = conversation, snapshot.total, None
        self._memory.remember(self._client.url, conversation)
        return snapshot

    async def back(self) -> Turn | None:
        """Leave the last exchange out: the next message is said in its place. Replies it; None: there is none."""
        turn = await self.last_turn()
        if turn is not None:
            self._behind = turn.parent
        return turn

    async def instruct(self, system: str) -> None:
        """Give the conversation other instructions, and those that are created from here."""
        if self.conversation:
            await self._client.change(self.conversation, instructions=system)
        self.system = system

    async def last_turn(self) -> Turn | None:
        """The turn that was asked last, of those that were not left out."""
        if not self.conversation or self._behind == "":
            return None
        if self._behind is not None:
            return await self._client.turn(self.conversation, self._behind)
        turns = (await self._client.get(self.conversation, turns=1)).turns
        return turns[-1] if turns else None

    async def listing(self) -> list[Conversation]:
        """The conversations last spoken in."""
        return await self._client.conversations(limit=20)
