"""Finds what the ids of /v1 stand for, for whom it belongs to; for everyone else it does not exist."""

from typing import Any

from parley.core.blocks import answer_messages, block_message, blocks, input_messages
from parley.core.errors import Gone, InvalidRequest, NotFound
from parley.core.ids import parse_response_id
from parley.core.message import Message
from parley.core.turn import NOTED, Turn
from parley.server.auth import Principal
from parley.server.parts import Parts
from parley.wire.openai.items import parse_item_id, turn_items
from parley.wire.openai.requests import Conversing
from parley.wire.openai.response import Subject

MOST_TURNS = 10_000


class Lookup:
    """Looks up conversations, responses and items."""

    def __init__(self, parts: Parts) -> None:
        self._service = parts.service
        self._conversations = parts.service.conversations
        self._default = parts.config.default

    async def conversation(self, who: Principal, conversation: str, param: str | None = "conversation") -> str:
        """A conversation that is someone's.

        Raises:
            NotFound.
        """
        try:
            await self._service.require(who, conversation)
        except NotFound:
            raise NotFound("conversation_not_found", "No such conversation.", param=param) from None
        return conversation

    async def response(self, who: Principal, response: str) -> Subject:
        """A stored response that is someone's.

        Raises:
            NotFound: it is unknown, foreign, deleted, or was not stored: never told apart.
        """
        parsed = parse_response_id(response)
        if parsed is None:
            raise unknown_response()
        try:
            await self._service.require(who, parsed[0])
            found = await self.subject(*parsed)
        except (NotFound, Gone):
            raise unknown_response() from None
        outcome = found.turn.outcome
        noted = outcome is not None and outcome.finish_reason == NOTED
        if noted or found.turn.withdrawn or not found.echo.store:
            raise unknown_response()
        return found

    async def subject(self, conversation: str, turn: str) -> Subject:
        """A turn and all that is told about it as a response.

        Raises:
            NotFound.
        """
        found = await self._conversations.turn(conversation, turn)
        if found is None:
            raise unknown_response()
        return Subject(conversation, *found, self._default)

    async def item(self, who: Principal, item: str) -> tuple[Turn, dict[str, Any]] | None:
        """An item that is someone's, and the turn it stands in; None when there is none."""
        parsed = parse_item_id(item)
        if parsed is None:
            return None
        conversation, turn, _ = parsed
        try:
            await self._service.require(who, conversation)
        except NotFound:
            return None
        found = await self._conversations.turn(conversation, turn)
        listed = turn_items(found[0], conversation) if found else []
        shown = next((each for each in listed if each["id"] == item), None)
        return None if found is None or shown is None else (found[0], shown)

    async def message(self, who: Principal, item: str, param: str) -> Message | None:
        """The message that an item is; None for one that is not shown to a model again.

        Raises:
            InvalidRequest: `item_not_found`.
        """
        found = await self.item(who, item)
        if found is None:
            raise InvalidRequest("item_not_found", "There is no such item.", param=param)
        turn, _ = found
        number, said = int(item[-4:], 16), turn.request.input
        if number < len(said):
            return said[number]
        assert turn.outcome is not None
        return block_message(turn.id, blocks(turn, turn.outcome.body, turn.outcome.pieces)[number - len(said)])

    async def context(self, who: Principal, behind: Conversing) -> list[Message]:
        """What was said before, where something goes on behind a conversation or a response.

        Raises:
            NotFound, InvalidRequest.
        """
        turns = await self.turns(*await self.place(who, behind))
        return [message for turn in turns for message in (*input_messages(turn), *answer_messages(turn))]

    async def place(self, who: Principal, behind: Conversing) -> tuple[str, str]:
        """The conversation and the turn that something goes on behind; empty where there is none.

        Raises:
            NotFound, InvalidRequest.
        """
        if behind.conversation_id is not None:
            conversation = await self.conversation(who, behind.conversation_id)
            return conversation, (await self._conversations.snapshot(conversation, turns=0)).head
        if behind.previous_response_id is not None:
            return await self.previous(who, behind.previous_response_id)
        return "", ""

    async def turns(self, conversation: str, last: str, most: int = MOST_TURNS) -> list[Turn]:
        """A turn and those that lead to it, oldest first; the nearest ones, at most so many."""
        if not last:
            return []
        found = await self._conversations.turn(conversation, last)
        path = await self._conversations.path(conversation, last, turns=most - 1)
        return [turn for turn, _ in [*path, *filter(None, [found])]]

    async def previous(self, who: Principal, response: str) -> tuple[str, str]:
        """The conversation and the turn of a response that something goes on behind.

        Raises:
            InvalidRequest: `previous_response_not_found`.
        """
        try:
            found = await self.response(who, response)
        except NotFound:
            message = "There is no such previous response."
            raise InvalidRequest("previous_response_not_found", message, param="previous_response_id") from None
        return found.conversation, found.turn.id


def unknown_response() -> NotFound:
    """Unknown, or not yours."""
    return NotFound("response_not_found", "No such response.")
