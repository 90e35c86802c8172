"""One conversation, to speak in."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Literal

from parley.client.reply import AsyncReply
from parley.client.values import Conversation, Event, Policy, Said, Snapshot
from parley.core.message import Parameters

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


class AsyncChat:
    """A conversation at a server. `AsyncClient.conversation` makes it; it holds nothing but the id.

    Attributes:
        id: of the conversation; any client may go on with it, also years later.
    """

    def __init__(self, client: "AsyncClient", conversation: str) -> None:
        self._client = client
        self.id = conversation

    def __repr__(self) -> str:
        return f"<AsyncChat {self.id}>"

    def say(
        self,
        said: Said,
        *,
        key: str | None = None,
        model: str = "",
        assistant: str = "",
        instructions: str = "",
        parameters: Parameters | None = None,
        parent: str | None = None,
        policy: Policy = "enqueue",
    ) -> AsyncReply:
        """Say something here: see `AsyncClient.say`."""
        return self._client.say(
            self.id,
            said,
            key=key,
            model=model,
            assistant=assistant,
            instructions=instructions,
            parameters=parameters,
            parent=parent,
            policy=policy,
        )

    def attach(self, turn: str) -> AsyncReply:
        """The reply of a turn that was asked for earlier: see `AsyncClient.attach`."""
        return self._client.attach(self.id, turn)

    def follow(self, *, after: str | None = None, until: Literal["idle"] | None = None) -> AsyncGenerator[Event, None]:
        """Everything that happens here: see `AsyncClient.follow`."""
        return self._client.follow(self.id, after=after, until=until)

    async def get(self, *, turns: int = 50) -> Snapshot:
        """The conversation as it stands, with its newest turns."""
        return await self._client.get(self.id, turns=turns)

    async def change(
        self,
        *,
        title: str | None = None,
        assistant: str | None = None,
        model: str | None = None,
        instructions: str | None = None,
        parameters: Parameters | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Conversation:
        """Describe it anew; None leaves a thing as it is."""
        return await self._client.change(
            self.id,
            title=title,
            assistant=assistant,
            model=model,
            instructions=instructions,
            parameters=parameters,
            metadata=metadata,
        )

    async def delete(self) -> None:
        """Forget it."""
        await self._client.delete(self.id)
