"""The exchange: takes what clients of /v1 say, finds or makes the conversation it belongs to, and posts the turn.

A response is a turn. One that is not to be stored gets a conversation of its own that lives as long as the request:
it is deleted at the end, and, should this process die, expires by itself.
"""

import hashlib
import secrets
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from parley.core import ids
from parley.core.blocks import answer_messages, input_messages
from parley.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, ParleyError, TooLarge, Unavailable
from parley.core.message import Message, unasked
from parley.core.turn import TERMINAL_STATUSES, Private, Request
from parley.server.auth import Principal
from parley.server.lookup import MOST_TURNS, Lookup
from parley.server.parts import Parts
from parley.wire.openai.requests import Conversing
from parley.wire.openai.said import Reference, Spoken

# Refusals of a store that is there: whoever sends the same again says it once.
NOTHING_ACCEPTED = frozenset({"storage_full", "overloaded"})
# How long what is not stored lives on without anyone, in seconds.
UNSTORED_SECONDS = 120
# What an unstored turn goes on behind is copied: at most so much.
COPIED_TURNS, COPIED_BYTES = 1_000, 4 * 1024 * 1024


class Accepted(Struct, frozen=True):
    """A turn that was posted. `stored`: it stays when the request is over."""

    who: Principal
    conversation: str
    turn: str
    stored: bool
    replayed: bool = False


class Kept(Exception):
    """Carries the error of a request that was accepted, or may have been: sent again it would be done twice."""

    def __init__(self, error: ParleyError) -> None:
        super().__init__(error.message)
        self.error = error


class Exchange:
    """Accepts turns, for principals."""

    unstored_seconds = UNSTORED_SECONDS

    def __init__(self, parts: Parts) -> None:
        self._service = parts.service
        self._config = parts.config
        self._conversations = parts.service.conversations
        self._lookup = Lookup(parts)

    async def accept(
        self,
        who: Principal,
        behind: Conversing,
        spoken: Sequence[Spoken],
        private: Private,
        *,
        model: str,
        key: str | None,
        stored: bool,
    ) -> Accepted:
        """Post a turn.

        Args:
            model: a model or an assistant, by name; empty: the default one.
            key: the idempotency key. What is not stored is not remembered by it either.

        Raises:
            ParleyError: nothing was accepted.
            Kept: nobody can tell, and there is no key to find out with.
        """
        chosen, assistant = self._choose(model)
        messages = await self.messages(who, spoken)
        request = Request(messages, chosen, assistant)
        if not stored:
            return await self._accept_unstored(who, behind, request, private)
        if behind.conversation_id is not None:
            conversation, parent = await self._lookup.conversation(who, behind.conversation_id), None
        elif behind.previous_response_id is not None:
            conversation, parent = await self._lookup.previous(who, behind.previous_response_id)
        else:
            name = f"{who.owner}\nresponses\n{key}"
            seed = hashlib.sha256(name.encode()).digest()[:16] if key else secrets.token_bytes(16)
            conversation, parent = await self._service.begin(who, seed), ""
        turn = ids.turn_id(conversation, key or secrets.token_hex(16))
        try:
            receipt = await self._service.post(who, conversation, turn, request, private, parent=parent)
        except Unavailable as error:
            if key is not None or error.code in NOTHING_ACCEPTED:
                raise
            raise Kept(error) from error
        return Accepted(who, conversation, turn, True, receipt.replayed)

    async def release(self, accepted: Accepted) -> None:
        """The request is over: forget what is not stored, and stop its model."""
        if not accepted.stored:
            await self._service.later(self._forget(accepted.conversation))

    def check_said(self, who: Principal, messages: Sequence[tuple[str, Message]]) -> tuple[Message, ...]:
        """The messages worth keeping, checked.

        Raises:
            Forbidden, InvalidRequest, TooLarge.
        """
        kept: list[Message] = []
        most = self._config.limits.message_bytes
        for param, message in messages:
            if message.role != "user" and not who.privileged:
                raise Forbidden("role_not_allowed", "A session speaks as user only.", param=param)
            if len(message.content.encode()) + sum(len(image.url) for image in message.images) > most:
                raise TooLarge("message_too_large", f"A message may have {most} bytes at most.", param=param)
            if message.content.strip() or message.calls or message.images or message.role == "tool":
                kept.append(message)
            elif message.role == "user":
                raise InvalidRequest("empty_message", "The message is empty.", param=param)
        return tuple(kept)

    async def messages(self, who: Principal, spoken: Sequence[Spoken]) -> tuple[Message, ...]:
        """What is said, with references followed, checked.

        Raises:
            ParleyError.
        """
        found: list[tuple[str, Message]] = []
        for each in spoken:
            if isinstance(each.message, Reference):
                message = await self._lookup.message(who, each.message.id, each.param)
                if message is not None:
                    found.append((each.param, message))
            else:
                found.append((each.param, each.message))
        messages = self.check_said(who, found)
        if not messages:
            param = spoken[0].param.partition("[")[0] if spoken else "input"
            raise InvalidRequest("empty_message", "There is no message.", param=param)
        return messages

    async def require_calls(self, who: Principal, behind: Conversing, spoken: Sequence[Spoken]) -> None:
        """Refuse an answer to a call that was not made: neither in what is said, nor in what it goes on behind.

        Raises:
            ParleyError: among others `call_not_found`.
        """
        if not unasked(each.message for each in spoken if isinstance(each.message, Message)):
            return
        missing = unasked(await self.messages(who, spoken))
        conversation, last = await self.place(who, behind) if missing else ("", "")
        for most in (1, MOST_TURNS):  # as a rule the calls are in the newest turn
            turns = await self._lookup.turns(conversation, last, most)
            before = [message for turn in turns for message in (*input_messages(turn), *answer_messages(turn))]
            made = {call.id for message in before for call in message.calls}
            missing = [call for call in missing if call not in made]
            if not missing or any(turn.status not in TERMINAL_STATUSES for turn in turns):
                return  # all were made, or may yet be
        message = f"There is no function call with the call_id {missing[0]!r}."
        raise InvalidRequest("call_not_found", message, param="input")

    async def place(self, who: Principal, behind: Conversing) -> tuple[str, str]:
        """The conversation and the turn that something goes on behind; empty where there is none.

        Raises:
            NotFound, InvalidRequest.
        """
        return await self._lookup.place(who, behind)

    def _choose(self, name: str) -> tuple[str, str]:
        """The model and the assistant that a name stands for; one of them is empty."""
        assistants = {choice.name for choice in self._config.assistants}
        models = {choice.name for choice in self._config.models}
        if name in assistants and name not in models:
            return "", name
        try:
            self._service.require_choice(name, "")
        except NotFound:
            message = f"The model {name!r} does not exist. GET /v1/models lists those that do."
            raise NotFound("model_not_found", message, param="model") from None
        return name, ""

    async def _accept_unstored(
        self, who: Principal, behind: Conversing, request: Request, private: Private
    ) -> Accepted:
        """Post a turn in a conversation of its own, behind a copy of what it goes on behind."""
        source, last = await self.place(who, behind)
        if behind.previous_response_id is not None:  # not that of the copy
            private = msgspec.structs.replace(private, echo={"previous": behind.previous_response_id, **private.echo})
        conversation = await self._service.begin(who, secrets.token_bytes(16), ttl=self.unstored_seconds)
        accepted = Accepted(who, conversation, ids.turn_id(conversation, "unstored"), False)
        try:
            if last:
                await self._copy(source, last, conversation)
            await self._service.post(who, conversation, accepted.turn, request, private, kept=False)
        except ParleyError:
            await self.release(accepted)
            raise
        return accepted

    async def _copy(self, source: str, last: str, target: str) -> None:
        found = await self._conversations.turn(source, last)
        path = await self._conversations.path(source, last, turns=COPIED_TURNS, size=COPIED_BYTES)
        turns = [*path, *filter(None, [found])]
        if any(turn.status not in TERMINAL_STATUSES for turn, _ in turns):
            message = "What this goes on behind has not ended yet."
            raise Conflict("response_in_progress", message)
        await self._conversations.copy(target, turns)

    async def _forget(self, conversation: str) -> None:
        await self._conversations.delete(conversation)
