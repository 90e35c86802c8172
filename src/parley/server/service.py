"""What a client may have done to conversations, whatever the transport: checks whose it is, then asks the store."""

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

import msgspec
from msgspec import UNSET

from parley.core import ids
from parley.core.about import About, title_of
from parley.core.cursor import is_cursor
from parley.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, ParleyError, TooLarge
from parley.core.message import Image, Message
from parley.core.snapshot import Snapshot
from parley.core.turn import TERMINAL_STATUSES, Private, Request
from parley.server import visit
from parley.server.auth import SESSION_PREFIX, Principal
from parley.server.bodies import check_key
from parley.server.config import Config, Store
from parley.server.quotas import Quotas
from parley.store.conversations import Policy, Receipt
from parley.store.rates import TooFast
from parley.wire import frames
from parley.wire.commands import Create, Describe, Said, Say
from parley.wire.kept import Restore, turn_of
from parley.wire.openai.said import image

log = logging.getLogger(__name__)

# How long those live that are kept briefly, or until they are let go, after they were last used; seconds.
TEMPORARY, PINNED = 3_600, 366 * 86_400
# Conversations whose owner is remembered.
REMEMBERED = 20_000
# What is left to be done in the background at most; beyond it, the request waits.
MOST_CHORES = 1_000


class Known(msgspec.Struct):
    """What this process knows of a conversation for good."""

    owner: str
    titled: bool = False
    listed: bool | None = None  # a temporary one is on no list; None: not known here


class Service:
    """The commands of one deployment, for principals."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.conversations = store.conversations
        self._sessions = store.sessions
        self.quotas = Quotas(config, store)
        self._shards = len(store.keys.shards)
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._chores: set[asyncio.Task[None]] = set()
        self._models = {choice.name for choice in config.models}
        self._assistants = {choice.name for choice in config.assistants}

    async def close(self) -> None:
        """Wait for what is still being done in the background."""
        if self._chores:
            await asyncio.wait(self._chores, timeout=5)

    # Whose it is.

    async def require(self, who: Principal, conversation: str) -> None:
        """Make sure that a conversation is someone's.

        Raises:
            NotFound: it is not, or is not at all: never told apart.
        """
        known = self._known.get(conversation)
        if known is None:
            if not ids.is_conversation_id(conversation):
                raise unknown_conversation()
            owner = await self.conversations.owner(conversation)
            if owner is None:
                raise unknown_conversation()
            known = self._remember(conversation, Known(owner))
            if known.owner != who.owner:
                raise unknown_conversation()
            return
        self._known.move_to_end(conversation)
        if known.owner != who.owner:
            # What nobody has is looked up each time: the clock must not tell that this is somebody's.
            await self.conversations.owner(conversation)
            raise unknown_conversation()

    def _remember(self, conversation: str, known: Known) -> Known:
        self._known[conversation] = known
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known

    # Conversations.

    async def create(self, who: Principal, body: Create, key: str | None) -> tuple[Snapshot, bool]:
        """Begin a conversation. Tells also whether it is new: the same key is the same conversation."""
        seed = hashlib.sha256(f"{who.owner}\n{key}".encode()).digest()[:16] if key else secrets.token_bytes(16)
        about = self._described(About(), body)
        return await self._begin(who, seed, about, ttl=body.ttl or self._life(about))

    async def _begin(self, who: Principal, seed: bytes, about: About, *, ttl: int = 0) -> tuple[Snapshot, bool]:
        conversation = ids.conversation_id(seed, self._shards)
        new = await self.conversations.create(conversation, who.owner, about, ttl=ttl)
        listed = about.retention != "temporary"
        self._remember(conversation, Known(who.owner, bool(about.title), listed))
        if listed:
            await self.conversations.note(who.owner, conversation, ttl=ttl)
        return await self.conversations.snapshot(conversation, turns=0), new

    async def begin(self, who: Principal, seed: bytes, *, ttl: int = 0) -> str:
        """A conversation that is on its owner's list only once something is said in it; replies its id.

        It is on disk once what is said is.

        Args:
            seed: 16 bytes; the same ones are the same conversation.
        """
        conversation = ids.conversation_id(seed, self._shards)
        await self.conversations.create(conversation, who.owner, About(), ttl=ttl, durable=False)
        if conversation not in self._known:
            self._remember(conversation, Known(who.owner))
        return conversation

    async def change(self, who: Principal, conversation: str, body: Describe) -> Snapshot:
        """Describe a conversation anew; what the body does not name stays."""
        await self.require(who, conversation)
        snapshot = await self.conversations.snapshot(conversation, turns=0)
        about = self._described(snapshot.about, body)
        if about != snapshot.about:
            moved = about.retention != snapshot.about.retention
            ttl = (self._life(about) or self.config.lifetimes.conversation) if moved else 0
            await self.conversations.change(conversation, about, ttl=ttl)
            if moved:
                await self._list(who, conversation, about.retention != "temporary", ttl)
        return await self.conversations.snapshot(conversation, turns=0)

    def _life(self, about: About) -> int:
        """The sliding life of a conversation in seconds; 0: the deployment's."""
        usual = self.config.lifetimes.conversation
        lives = {"temporary": min(TEMPORARY, usual), "pinned": max(PINNED, usual)}
        return lives.get(about.retention, 0)

    async def _list(self, who: Principal, conversation: str, listed: bool, ttl: int) -> None:
        """Put a conversation on its owner's list, or take it off."""
        known = self._known.get(conversation)
        if known is not None:
            known.listed = listed
        if listed:
            await self.conversations.note(who.owner, conversation, ttl=ttl)
        else:
            await self.conversations.forget(who.owner, conversation)

    async def delete(self, who: Principal, conversation: str) -> None:
        """Forget a conversation."""
        await self.require(who, conversation)
        if not await self.conversations.delete(conversation):
            raise unknown_conversation()
        await self.conversations.forget(who.owner, conversation)

    async def fork(self, who: Principal, conversation: str, turn: str, key: str | None) -> tuple[Snapshot, bool]:
        """A new conversation that holds the path up to a turn that has ended."""
        await self.require(who, conversation)
        found = await self.conversations.turn(conversation, turn) if ids.is_turn_id(turn) else None
        if found is None:
            raise NotFound("turn_not_found", "No such turn.", param="turn")
        path = await self.conversations.path(conversation, turn, turns=self.config.limits.turns)
        path.append(found)
        if any(each.status not in TERMINAL_STATUSES for each, _ in path):
            raise Conflict("turn_in_progress", "A turn on this path has not ended yet.", param="turn")
        about = (await self.conversations.snapshot(conversation, turns=0)).about
        name = f"{who.owner}\nfork\n{conversation}\n{turn}\n{key}"
        seed = hashlib.sha256(name.encode()).digest()[:16] if key else secrets.token_bytes(16)
        made, new = await self._begin(who, seed, about)
        await self.conversations.copy(made.conversation, path)
        return await self.conversations.snapshot(made.conversation, turns=0), new

    async def restore(self, who: Principal, conversation: str, body: Restore) -> int:
        """Write turns that have ended elsewhere into a conversation; replies how many were not there yet."""
        await self.require(who, conversation)
        if not who.privileged:
            raise Forbidden("not_allowed", "Only the owner of the deployment writes down what a model said.")
        snapshot = await self.conversations.snapshot(conversation, turns=0)
        if snapshot.total + len(body.turns) > self.config.limits.turns:
            raise TooLarge("too_many_turns", "The conversation would have too many turns.", param="turns")
        known = {""}
        for index, kept in enumerate(body.turns):
            if not kept.ended:
                raise InvalidRequest("turn_in_progress", "The turn has not ended.", param=f"turns[{index}]")
            if len((kept.text + kept.reasoning + kept.tool).encode()) > self.config.limits.reply_bytes:
                raise TooLarge("reply_too_large", "The reply is too long.", param=f"turns[{index}]")
            if kept.parent not in known and await self.conversations.turn(conversation, kept.parent) is None:
                raise InvalidRequest("turn_not_found", "The parent is not there.", param=f"turns[{index}].parent")
            known.add(kept.turn)
        written = await self.conversations.copy(conversation, [(turn_of(kept), Private()) for kept in body.turns])
        await self.conversations.note(who.owner, conversation)
        return written

    def _described(self, about: About, body: Describe) -> About:
        given: dict[str, Any] = {
            name: value
            for name in ("title", "assistant", "model", "instructions", "metadata", "retention")
            if (value := getattr(body, name)) is not UNSET
        }
        if body.parameters is not UNSET:
            given["parameters"] = body.parameters.parameters()
        if len(given.get("title", "").encode()) > self.config.limits.title_bytes:
            raise TooLarge("title_too_long", "The title is too long.", param="title")
        self.require_choice(given.get("model", ""), given.get("assistant", ""))
        return about.changed(**given)

    def require_choice(self, model: str, assistant: str) -> None:
        """Make sure that there are a model and an assistant of these names; empty: none is asked for.

        Raises:
            NotFound.
        """
        if model and self._models and model not in self._models:
            raise NotFound("model_not_found", "No such model.", param="model")
        if assistant and assistant not in self._assistants:
            raise NotFound("assistant_not_found", "No such assistant.", param="assistant")

    # Turns.

    async def say(self, who: Principal, conversation: str, body: Say, key: str | None) -> dict[str, Any]:
        """Accept a message; replies the receipt frame."""
        await self.require(who, conversation)
        request = Request(self._input(who, body), body.model, body.assistant)
        self.require_choice(body.model, body.assistant)
        private = Private(body.instructions, body.parameters.parameters())
        if key is None:
            key = secrets.token_hex(16)
        turn = ids.turn_id(conversation, key)
        receipt = await self.post(who, conversation, turn, request, private, parent=body.parent, policy=body.policy)
        return {
            "type": "receipt",
            "conversation": conversation,
            "turn": turn,
            "response": ids.response_id(conversation, turn),
            "status": receipt.status,
            "cursor": receipt.cursor,
            "position": receipt.position,
            "durability": receipt.durability,
            "replayed": receipt.replayed,
            "key": key,
        }

    async def post(
        self,
        who: Principal,
        conversation: str,
        turn: str,
        request: Request,
        private: Private,
        *,
        parent: str | None = None,
        policy: Policy = "enqueue",
        kept: bool = True,
    ) -> Receipt:
        """Accept a turn that was checked by whoever took it, in a conversation that is someone's.

        Args:
            kept: whether the turn is to be on disk, and the conversation on its owner's list, with a title.
        """
        quota = await self.quotas.of_post(who, conversation, request)
        here = visit.current()
        try:
            receipt = await self.conversations.post(
                conversation, turn, request, private, parent=parent, policy=policy, durable=kept, quota=quota
            )
        except TooFast as error:
            here.standing = error.standing
            raise
        here.standing = receipt.standing
        if kept and not receipt.replayed:
            await self.later(self._after_say(who, conversation, request))
        return receipt

    def key(self, key: str | None, param: str = "key") -> str | None:
        """A client's idempotency key, checked."""
        return None if key is None else check_key(key, self.config.limits.key_chars, param)

    def _input(self, who: Principal, body: Say) -> tuple[Message, ...]:
        if isinstance(body.input, str):
            said: tuple[Message, ...] = (Message("user", body.input),)
            params = ["input"]
        else:
            said = tuple(
                Message(message.role, message.content, images=_shown(message, f"input[{index}].images"))
                for index, message in enumerate(body.input)
            )
            params = [f"input[{index}].content" for index in range(len(said))]
        size = 0
        for message, param in zip(said, params, strict=True):
            if message.role != "user" and not who.privileged:
                raise Forbidden("role_not_allowed", "A session speaks as user only.", param=param)
            if not message.content.strip() and not message.images:
                raise InvalidRequest("empty_message", "The message is empty.", param=param)
            size += len(message.content.encode()) + sum(len(each.url) for each in message.images)
        if not said:
            raise InvalidRequest("empty_message", "There is no message.", param="input")
        if size > self.config.limits.message_bytes:
            most = self.config.limits.message_bytes
            raise TooLarge("message_too_large", f"A message may have {most} bytes at most.", param="input")
        return said

    async def _after_say(self, who: Principal, conversation: str, request: Request) -> None:
        """Put the conversation on top of its owner's list, unless it is temporary, and give it a title."""
        known = self._known.get(conversation)
        try:
            if known is not None and known.titled and known.listed is not None:
                if known.listed:
                    await self.conversations.note(who.owner, conversation)
                return
            about = (await self.conversations.snapshot(conversation, turns=0)).about
            listed = about.retention != "temporary"
            if listed:
                await self.conversations.note(who.owner, conversation)
            if known is not None:
                known.listed = listed
            if known is not None and not known.titled:
                known.titled = True
                title = title_of(next((message.content for message in request.input if message.role == "user"), ""))
                if not about.title and title:
                    await self.conversations.change(conversation, about.changed(title=title))
        except ParleyError as error:
            if known is not None:
                known.titled = False
            log.info("what follows a message was left undone: %s", error.code)

    async def cancel(self, who: Principal, conversation: str, turn: str) -> dict[str, Any]:
        """Stop a turn, or withdraw it."""
        await self.require(who, conversation)
        require_turn_id(turn)
        changed, status = await self.conversations.cancel(conversation, turn)
        return {"conversation": conversation, "turn": turn, "status": status, "changed": changed}

    async def turn(self, who: Principal, conversation: str, turn: str) -> dict[str, Any]:
        """One turn, with as much of its reply as there is."""
        await self.require(who, conversation)
        require_turn_id(turn)
        return await self._turn(conversation, turn)

    async def queue(self, who: Principal, conversation: str) -> list[dict[str, Any]]:
        """The turns that have not ended yet, in order."""
        await self.require(who, conversation)
        snapshot = await self.conversations.snapshot(conversation, turns=0)
        found = []
        for name in snapshot.waiting:
            with contextlib.suppress(NotFound):
                found.append(await self._turn(conversation, name))
        return [body for body in found if body["status"] not in TERMINAL_STATUSES]

    async def _turn(self, conversation: str, turn: str) -> dict[str, Any]:
        found = await self.conversations.turn(conversation, turn)
        if found is not None and found[0].status == "in_progress":
            snapshot = await self.conversations.snapshot(conversation, turns=0)
            if snapshot.running and snapshot.running.turn == turn:
                return frames.turn_body(found[0], conversation, snapshot)
            found = await self.conversations.turn(conversation, turn)  # it ended in between
        if found is None:
            raise NotFound("turn_not_found", "No such turn.")
        return frames.turn_body(found[0], conversation)

    # Sessions.

    async def open_session(self, who: Principal, name: str) -> dict[str, Any]:
        """A new session token."""
        if not who.privileged:
            raise Forbidden("not_allowed", "A session cannot make sessions.")
        if not name.strip():
            raise InvalidRequest("invalid_value", "The name is empty.", param="name")
        await self.quotas.allow_session()
        token = SESSION_PREFIX + secrets.token_urlsafe(32)
        session = await self._sessions.open(token, name)
        return {
            "token": token,
            "name": session.name,
            "started_at": int(session.started_at * 1000),
            "expires_in": min(self.config.lifetimes.session_idle, self.config.lifetimes.session_cap),
        }

    async def close_session(self, who: Principal) -> None:
        """Revoke the token that asks."""
        if not who.token:
            raise InvalidRequest("not_a_session", "There is no session to end.")
        await self._sessions.close(who.token)

    async def later(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, or now when too much is left to be done there."""
        if len(self._chores) >= MOST_CHORES:
            await chore
            return
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def _shown(message: Said, param: str) -> tuple[Image, ...]:
    """The images of a message.

    Raises:
        InvalidRequest: it is not a user's, or one of them is no image.
    """
    if message.images and message.role != "user":
        raise InvalidRequest("unsupported_content", "Only users show images.", param=param)
    return tuple(image(each.url, f"{param}[{at}].url", each.detail) for at, each in enumerate(message.images))


def unknown_conversation() -> NotFound:
    """Unknown, or not yours."""
    return NotFound("conversation_not_found", "No such conversation.")


def require_turn_id(turn: str) -> None:
    """Refuse what cannot be a turn before it is looked up.

    Raises:
        NotFound.
    """
    if not ids.is_turn_id(turn):
        raise NotFound("turn_not_found", "No such turn.")


def check_cursor(cursor: str | None, param: str = "after") -> str | None:
    """A cursor from a client, if it has the form of one.

    Raises:
        InvalidRequest: `invalid_cursor`.
    """
    if cursor is not None and not is_cursor(cursor):
        raise InvalidRequest("invalid_cursor", "This is not a cursor.", param=param)
    return cursor
