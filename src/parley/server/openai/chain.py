"""A chain: the responses of one socket that nothing else knows, and what goes on behind them.

A response that is not stored keeps its conversation for as long as the socket lives, so that the next one can go on
in it. A warm-up is kept here alone: what it said is put in front of what the next create says.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from parley.core import ids
from parley.core.errors import ParleyError, TooLarge
from parley.core.turn import Private, Request
from parley.server.auth import Principal
from parley.server.exchange import Accepted, Exchange
from parley.server.parts import Parts
from parley.wire.openai import said
from parley.wire.openai.requests import Conversing
from parley.wire.openai.response import Subject
from parley.wire.openai.said import Spoken
from parley.wire.openai.socket import CreateOnSocket, Warm, warm_subject

# Responses that can be gone on behind, and warm-ups; the oldest ones are forgotten.
MOST_HELD, MOST_WARM = 32, 4


class Held(Struct, frozen=True):
    """A response that is not stored."""

    conversation: str
    turn: str


class Chain(Exchange):
    """Accepts the turns of one socket."""

    def __init__(self, parts: Parts, who: Principal) -> None:
        super().__init__(parts)
        self.unstored_seconds = int(parts.config.connection_seconds) + 120
        self._who = who
        self._default = parts.config.default
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._warm: OrderedDict[str, Warm] = OrderedDict()
        self._conversations_held: set[str] = set()
        self._posting: asyncio.Task[Accepted] | None = None

    async def post(self, body: CreateOnSocket) -> Accepted:
        """Post a turn. It is not left half done when the caller is cancelled.

        Raises:
            ParleyError, Kept.
        """
        self._posting = asyncio.create_task(self._post(body))
        return await asyncio.shield(self._posting)

    async def warm(self, body: CreateOnSocket) -> Subject:
        """Keep what a warm-up says; it shows as a response that is over.

        Raises:
            ParleyError.
        """
        spoken, behind, _ = self._behind(body)
        chosen, assistant = self._choose(body.model or "")
        messages = await self.messages(self._who, spoken) if spoken else ()
        if len(msgspec.json.encode(messages)) > 2 * self._config.body_bytes:
            raise TooLarge("body_too_large", "There is too much in the warm-ups of this chain.", param="input")
        if behind.conversation_id is not None:
            await self._lookup.conversation(self._who, behind.conversation_id)
        elif behind.previous_response_id is not None and behind.previous_response_id not in self._held:
            await self._lookup.previous(self._who, behind.previous_response_id)
        conversation = ids.conversation_id(secrets.token_bytes(16), 1)
        turn = ids.turn_id(conversation, "warm")
        asked = Request(messages, chosen, assistant)
        private = self._private(body, msgspec.structs.replace(behind, store=False))
        now = time.time_ns() // 1_000_000
        subject = warm_subject(conversation, turn, asked, private, now=now, default=self._default)
        kept = tuple(Spoken("input", message) for message in messages)
        self._warm[subject.response] = Warm(kept, behind.conversation_id, behind.previous_response_id)
        if len(self._warm) > MOST_WARM:
            self._warm.popitem(last=False)
        return subject

    async def keep(self, accepted: Accepted) -> None:
        """A response has ended well: it can be gone on behind."""
        if accepted.stored:
            return
        name = ids.response_id(accepted.conversation, accepted.turn)
        self._held[name] = Held(accepted.conversation, accepted.turn)
        if len(self._held) > MOST_HELD:
            await self.evict(next(iter(self._held)))

    async def drop(self, accepted: Accepted) -> None:
        """A response has not ended well: forget it, and stop its model."""
        if accepted.stored:
            return
        if any(held.conversation == accepted.conversation for held in self._held.values()):
            await self._conversations.cancel(accepted.conversation, accepted.turn)
        else:
            await self._release(accepted.conversation)

    async def evict(self, name: str) -> None:
        """Forget a response, if it is one of the chain."""
        self._warm.pop(name, None)
        held = self._held.pop(name, None)
        if held is not None and all(other.conversation != held.conversation for other in self._held.values()):
            await self._release(held.conversation)

    async def close(self) -> None:
        """Forget everything, and stop what is being said."""
        if self._posting is not None:
            await asyncio.gather(self._posting, return_exceptions=True)
        for conversation in list(self._conversations_held):
            await self._release(conversation)

    async def place(self, who: Principal, behind: Conversing) -> tuple[str, str]:
        held = self._held.get(behind.previous_response_id or "")
        return (held.conversation, held.turn) if held is not None else await super().place(who, behind)

    async def _release(self, conversation: str) -> None:
        self._conversations_held.discard(conversation)
        await self.release(Accepted(self._who, conversation, "", False))

    async def _post(self, body: CreateOnSocket) -> Accepted:
        spoken, behind, held = self._behind(body)
        await self.require_calls(self._who, behind, spoken)
        private = self._private(body, behind)
        stored = body.store is not False
        if held is not None:
            accepted = await self._go_on(held, spoken, private, body.model or "", stored=stored)
        else:
            accepted = await self.accept(
                self._who, behind, spoken, private, model=body.model or "", key=None, stored=stored
            )
        if not stored:
            self._conversations_held.add(accepted.conversation)
        return accepted

    def _behind(self, body: CreateOnSocket) -> tuple[Sequence[Spoken], CreateOnSocket, Held | None]:
        """All that a create says, what it goes on behind beyond its warm-up, and that if it is one of the chain."""
        given = body.input if isinstance(body.input, str | list) else []
        spoken: Sequence[Spoken] = said.items(given)
        behind = body
        warm = self._warm.get(body.previous_response_id or "")
        if warm is not None:
            spoken = (*warm.spoken, *spoken)
            behind = msgspec.structs.replace(
                body, conversation=warm.conversation, previous_response_id=warm.previous_response_id
            )
        return spoken, behind, self._held.get(behind.previous_response_id or "")

    def _private(self, body: CreateOnSocket, behind: CreateOnSocket) -> Private:
        """As the create says it, and the response shows the id that its client went on behind."""
        private = behind.private()
        if body.previous_response_id is None:
            return private
        return msgspec.structs.replace(private, echo={**private.echo, "previous": body.previous_response_id})

    async def _go_on(
        self, held: Held, spoken: Sequence[Spoken], private: Private, model: str, *, stored: bool
    ) -> Accepted:
        """Post a turn behind one of the chain: in its conversation, or, if it is to be stored, in a copy of it."""
        chosen, assistant = self._choose(model)
        request = Request(await self.messages(self._who, spoken), chosen, assistant)
        conversation = held.conversation
        if stored:
            conversation = await self._service.begin(self._who, secrets.token_bytes(16))
        turn = ids.turn_id(conversation, secrets.token_hex(16))
        try:
            if stored:
                await self._copy(held.conversation, held.turn, conversation)
            await self._service.post(self._who, conversation, turn, request, private, parent=held.turn, kept=stored)
        except ParleyError:
            if stored:
                await self._service.later(self._forget(conversation))
            raise
        return Accepted(self._who, conversation, turn, stored)
