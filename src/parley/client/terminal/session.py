"""The conversation the terminal is in: created with the first message, remembered for the next call."""

from parley.client.client import AsyncClient
from parley.client.errors import NotFound
from parley.client.reply import AsyncReply
from parley.client.terminal.memory import Memory
from parley.client.values import Conversation, Snapshot, Turn
from parley.core import ids

TITLE = 60  # characters of the first message that make the title


class Session:
    """Where the terminal speaks.

    Attributes:
        conversation: its id; "" until the first message.
        model: asked for each message; "" leaves it to the conversation.
        system: instructions of the conversations that are created from here.
    """

    def __init__(self, client: AsyncClient, memory: Memory, *, model: str = "", system: str = "") -> None:
        self._client = client
        self._memory = memory
        self.conversation = ""
        self.model = model
        self.system = system

    def new(self) -> None:
        """Leave the conversation: the next message begins another."""
        self.conversation = ""

    async def say(self, text: str, *, parent: str | None = None) -> AsyncReply:
        """Say something, in a new conversation if there is none yet."""
        if not self.conversation:
            title = " ".join(text.split())
            title = title if len(title) <= TITLE else title[: TITLE - 1] + "…"
            made = await self._client.create(title=title, instructions=self.system)
            self.conversation = made.id
        self._memory.remember(self._client.url, self.conversation)
        return self._client.say(self.conversation, text, model=self.model, parent=parent)

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
        conversation = name if ids.is_conversation_id(name) else await self._named(name)
        snapshot = await self._client.get(conversation, turns=1)
        self.conversation = conversation
        self._memory.remember(self._client.url, conversation)
        return snapshot

    async def instruct(self, system: str) -> None:
        """Give the conversation other instructions, and those that are created from here."""
        if self.conversation:
            await self._client.change(self.conversation, instructions=system)
        self.system = system

    async def last_turn(self) -> Turn | None:
        """The turn that was asked last."""
        if not self.conversation:
            return None
        turns = (await self._client.get(self.conversation, turns=1)).turns
        return turns[-1] if turns else None

    async def listing(self) -> list[Conversation]:
        """The conversations last spoken in."""
        return await self._client.conversations(limit=20)

    async def _named(self, name: str) -> str:
        begins = "conv_" + name.removeprefix("conv_")
        known = await self._client.conversations(limit=100)
        found = [one.id for one in known if one.id.startswith(begins)]
        if len(found) != 1 or begins == "conv_":
            reason = "is no conversation of yours" if not found else "fits more than one conversation"
            raise NotFound(f"{name!r} {reason}; /list or `parley chat -c` find the last ones.")
        return found[0]
