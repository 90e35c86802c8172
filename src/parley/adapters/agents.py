"""A session of the OpenAI Agents SDK, kept by Parley."""

import asyncio
from typing import TYPE_CHECKING, Any, Self, cast

from openai import AsyncOpenAI

from parley.adapters.keeping import PAGE, batches, named, opening, options, text_of, writing

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings


class ParleySession:
    """The SDK's `Session` over a conversation: what an agent said lives as long as that, whatever model says it.

        async with ParleySession("anna") as session:
            await Runner.run(agent, "Italy", session=session)

    Text, images (`data:` URLs) and function calls are kept. Reasoning is left out, as no model is shown it again; files
    and the calls of OpenAI's own tools are refused. Every write has a key: one whose answer was lost is done once.

    Args:
        session_id: a name of yours, which is the same conversation wherever it is used with the same token; or the
            id of a conversation.
        url: of the server; None takes PARLEY_URL, else http://127.0.0.1:8000.
        token: the access key; None takes PARLEY_TOKEN.
        client: speaks to the server instead of one made from `url` and `token`.
        session_settings: the SDK's; its `limit` is how many items are remembered when none is asked for.

    Raises:
        parley.InvalidRequest: the URL or the token cannot be one. The methods raise `openai.OpenAIError`.
    """

    # Read by the SDK: our items have no ids of its own.
    _ignore_ids_for_matching = True

    def __init__(
        self,
        session_id: str,
        *,
        url: str | None = None,
        token: str | None = None,
        client: AsyncOpenAI | None = None,
        session_settings: "SessionSettings | None" = None,
    ) -> None:
        self.session_id = session_id
        self.session_settings = session_settings
        self._client = client or AsyncOpenAI(**options(url, token))
        self._owned = client is None
        self._conversation = named(session_id)
        # Two writes at once would mingle their batches.
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the server, unless `client` was given."""
        if self._owned:
            await self._client.close()

    async def conversation(self) -> str:
        """The id of the conversation; it begins when it is first asked for."""
        if self._conversation is None:
            made = await self._client.conversations.create(extra_headers=opening(self.session_id))
            self._conversation = made.id
        return self._conversation

    async def get_items(self, limit: int | None = None) -> "list[TResponseInputItem]":
        """What was said, oldest first: the newest `limit` items, or all of them."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        return [remembered(item) for item in await self._newest(limit)][::-1]

    async def add_items(self, items: "list[TResponseInputItem]") -> None:
        """Write down what was said. More than 20 items take several requests; stopped in between, some are there."""
        kept = [item for item in items if item.get("type") != "reasoning"]
        async with self._writing:
            for batch in batches(kept):
                await self._client.conversations.items.create(
                    await self.conversation(), items=batch, extra_headers=writing()
                )

    async def pop_item(self) -> "TResponseInputItem | None":
        """Take out the newest item; None when there is none."""
        async with self._writing:
            newest = await self._newest(1)
            if not newest:
                return None
            await self._take_out(newest[0]["id"])
            return remembered(newest[0])

    async def clear_session(self) -> None:
        """Take out everything. It is shown to no model again; the page goes on showing it until it is deleted there."""
        async with self._writing:
            for item in await self._newest(None):
                await self._take_out(item["id"])

    async def _newest(self, limit: int | None) -> list[dict[str, Any]]:
        """The items, newest first."""
        found: list[dict[str, Any]] = []
        if limit is not None and limit <= 0:
            return found
        size = PAGE if limit is None else min(limit, PAGE)
        async for item in self._client.conversations.items.list(await self.conversation(), order="desc", limit=size):
            if item.type != "reasoning":
                found.append(item.to_dict())
            if len(found) == limit:
                break
        return found

    async def _take_out(self, item: str) -> None:
        await self._client.conversations.items.delete(item, conversation_id=await self.conversation())


def remembered(item: dict[str, Any]) -> "TResponseInputItem":
    """An item as any model may be given it: without the id, which says nothing elsewhere, and text as plain text."""
    found = {name: value for name, value in item.items() if name != "id"}
    if item["type"] == "message":
        shows = any("text" not in part for part in item["content"])
        found = {"role": item["role"], "content": item["content"] if shows else text_of(item)}
    return cast("TResponseInputItem", found)
