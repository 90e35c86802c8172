"""Conversations and their items: /v1/conversations. The same conversations as on every other interface.

The items are those of the turns on the path to the newest turn. Items that are posted are a turn that asks for no
answer.
"""

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core import ids
from parley.core.errors import Conflict, InvalidRequest, NotFound
from parley.core.snapshot import Snapshot
from parley.core.turn import Private, Turn
from parley.core.turn import Request as Asked
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints
from parley.server.openai.base import paging, route
from parley.server.parts import Parts
from parley.wire.commands import Create, Describe
from parley.wire.openai import items, said
from parley.wire.openai.requests import AddItems, CreateConversation, UpdateConversation

# Turns read at once.
STRIDE = 100


class Conversations(Endpoints):
    """The endpoints."""

    async def create(self, request: Request, who: Principal) -> Response:
        """POST /v1/conversations"""
        key = self.key(request)
        body = await self.body(request, CreateConversation, optional=True)
        messages = await self.exchange.messages(who, said.items(body.items, "items")) if body.items else ()
        snapshot, _ = await self.service.create(who, Create(metadata=body.metadata or {}), key)
        if messages:
            turn = ids.turn_id(snapshot.conversation, f"items of {key}" if key else secrets.token_hex(16))
            await self.service.conversations.write_down(snapshot.conversation, turn, Asked(messages), Private())
        return answer(conversation_object(snapshot))

    async def get(self, request: Request, who: Principal) -> Response:
        """GET /v1/conversations/{id}"""
        return answer(await self._shown(await self._own(request, who)))

    async def update(self, request: Request, who: Principal) -> Response:
        """POST /v1/conversations/{id}"""
        conversation = await self._own(request, who)
        body = await self.body(request, UpdateConversation)
        await self.service.change(who, conversation, Describe(metadata=body.metadata or {}))
        return answer(await self._shown(conversation))

    async def delete(self, request: Request, who: Principal) -> Response:
        """DELETE /v1/conversations/{id}"""
        conversation = await self._own(request, who)
        await self._shown(conversation)  # one that was deleted a moment ago is not there any more
        await self.service.delete(who, conversation)
        return answer({"id": conversation, "object": "conversation.deleted", "deleted": True})

    async def add(self, request: Request, who: Principal) -> Response:
        """POST /v1/conversations/{id}/items"""
        conversation = await self._own(request, who)
        key = self.key(request)
        body = await self.body(request, AddItems)
        messages = await self.exchange.messages(who, said.items(body.items, "items"))
        name = ids.turn_id(conversation, key or secrets.token_hex(16))
        await self.service.conversations.write_down(conversation, name, Asked(messages), Private())
        found = await self.service.conversations.turn(conversation, name)
        if found is None:
            raise NotFound("conversation_not_found", "No such conversation.")
        listed = items.turn_items(found[0], conversation)
        return answer(items.page(listed, limit=len(listed)))

    async def index(self, request: Request, who: Principal) -> Response:
        """GET /v1/conversations/{id}/items"""
        conversation = await self._own(request, who)
        limit, order, after = paging(request)
        parsed = items.parse_item_id(after) if after is not None else None
        if after is not None and (parsed is None or parsed[0] != conversation):
            raise items.bad_after()
        if order == "desc":
            return answer(items.page(await self._newest(conversation, limit, after), limit=limit))
        listed = (await self._newest(conversation, None, None))[::-1]
        return answer(items.page(items.behind(listed, after), limit=limit))

    async def item(self, request: Request, who: Principal) -> Response:
        """GET /v1/conversations/{id}/items/{item}"""
        _, shown = await self._item(request, who)
        return answer(shown)

    async def remove(self, request: Request, who: Principal) -> Response:
        """DELETE /v1/conversations/{id}/items/{item}"""
        turn, shown = await self._item(request, who)
        conversation = request.path_params["id"]
        try:
            await self.service.conversations.take_out(conversation, turn.id, int(shown["id"][-4:], 16))
        except Conflict:
            message = "The response this belongs to has not ended yet."
            raise InvalidRequest("response_in_progress", message) from None
        return answer(await self._shown(conversation))

    async def _own(self, request: Request, who: Principal) -> str:
        return await self.lookup.conversation(who, request.path_params["id"], None)

    async def _shown(self, conversation: str) -> dict[str, Any]:
        return conversation_object(await self.service.conversations.snapshot(conversation, turns=0))

    async def _item(self, request: Request, who: Principal) -> tuple[Turn, dict[str, Any]]:
        conversation = await self._own(request, who)
        item = request.path_params["item"]
        parsed = items.parse_item_id(item)
        found = await self.lookup.item(who, item) if parsed and parsed[0] == conversation else None
        if found is None:
            raise NotFound("item_not_found", "No such item.")
        return found

    async def _newest(self, conversation: str, limit: int | None, after: str | None) -> list[dict[str, Any]]:
        """The items of the path, newest first: those behind `after`, at least one more than `limit` if there are.

        Raises:
            InvalidRequest: there is no item `after`.
        """
        parsed = items.parse_item_id(after) if after else None
        last = parsed[1] if parsed else (await self.service.conversations.snapshot(conversation, turns=0)).head
        found: list[dict[str, Any]] = []
        while last and (limit is None or len(found) <= limit):
            here = await self.service.conversations.turn(conversation, last)
            if here is None:
                break
            path = await self.service.conversations.path(conversation, last, turns=STRIDE)
            turns = [here[0], *(turn for turn, _ in reversed(path))]
            for turn in turns:
                found += reversed(items.turn_items(turn, conversation))
            found, after = items.behind(found, after), None
            last = turns[-1].parent
        return items.behind(found, after)


def conversation_object(snapshot: Snapshot) -> dict[str, Any]:
    """A conversation as OpenAI's clients know it."""
    return {
        "id": snapshot.conversation,
        "object": "conversation",
        "created_at": snapshot.created_at // 1000,
        "metadata": snapshot.about.metadata,
    }


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes."""
    api = Conversations(parts)
    one = "/v1/conversations/{id}"
    return [
        route(parts, "/v1/conversations", {"POST": api.create}),
        route(parts, one, {"GET": api.get, "POST": api.update, "DELETE": api.delete}),
        route(parts, one + "/items", {"GET": api.index, "POST": api.add}),
        route(parts, one + "/items/{item}", {"GET": api.item, "DELETE": api.remove}),
    ]
