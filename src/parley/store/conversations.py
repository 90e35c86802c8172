"""Conversations, as the web side uses them: create, post, cancel, look, follow, change, delete.

One method a script. What comes back are values of core; what goes wrong are errors of core.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from parley.core.about import About
from parley.core.cursor import START
from parley.core.errors import Conflict, Gone, NotFound, TooLarge, TooMany, Unavailable
from parley.core.event import Entry
from parley.core.limits import Lifetimes, Limits
from parley.core.quota import Quota, Rate, Standing
from parley.core.snapshot import Partial, Snapshot
from parley.core.turn import Outcome, Private, Request, Status, Turn
from parley.store.keys import TURNS, Keys
from parley.store.nodes import Nodes
from parley.store.rates import OverQuota, Rates, standing_of, too_fast
from parley.store.scripts import TRANSIENT, Scripts, Value
from parley.wire import record

Policy = Literal["enqueue", "reject", "interrupt"]

_about = msgspec.json.Decoder(About)
_encode = msgspec.json.Encoder().encode


class Barrier(Protocol):
    """Waits until everything acknowledged so far (in a cluster: of a conversation) is as durable as it gets.

    See store.durability.
    """

    async def __call__(self, conversation: str = "") -> str: ...


class Receipt(Struct, frozen=True):
    """A message was accepted: it will be answered, or visibly fail. `position` counts the turns ahead of it."""

    conversation: str
    turn: str
    status: Status
    durability: str
    replayed: bool = False
    cursor: str = ""
    position: int = 0
    standing: Standing | None = None


class Conversations:
    """The conversations of one deployment (one Redis, one prefix)."""

    def __init__(
        self,
        client: Nodes,
        keys: Keys,
        limits: Limits,
        lifetimes: Lifetimes,
        barrier: Barrier,
    ) -> None:
        self._multiplexer = client.multiplexer
        self._scripts = Scripts(client)
        self._keys = keys
        self._limits = limits
        self._lifetimes = lifetimes
        self._barrier = barrier
        self._rates = Rates(client, keys)
        self._clustered = client.clustered

    async def create(self, conversation: str, owner: str, about: About, *, ttl: int = 0, durable: bool = True) -> bool:
        """Begin a conversation; the id is the idempotency key. Tells whether it is new.

        Args:
            ttl: sliding life in seconds; 0 takes the deployment's.
            durable: wait for the disk; not needed where something that does follows at once.

        Raises:
            Conflict: the id is taken by another owner.
            Gone: it was deleted.
        """
        args = (conversation, owner, _encode(about), ttl or self._lifetimes.conversation)
        reply = await self._run("create", conversation, *args, self._lifetimes.cap, self._limits.log)
        if reply[0] == b"TAKEN":
            raise Conflict("conversation_exists", "This conversation id is taken.")
        if reply[0] == b"GONE":
            raise _gone()
        if durable:
            await self._barrier(conversation)
        return bool(reply[0] == b"OK")

    async def post(
        self,
        conversation: str,
        turn: str,
        request: Request,
        private: Private,
        *,
        parent: str | None = None,
        policy: Policy = "enqueue",
        durable: bool = True,
        quota: Quota = Quota(),  # noqa: B008 — a frozen value
    ) -> Receipt:
        """Accept a message. The turn id stands for the idempotency key (`ids.turn_id`).

        Args:
            parent: the turn this one follows; None: the newest one, ROOT: none.
            policy: what to do while a reply runs.
            durable: wait for the disk; what is not kept anyway need not.
            quota: what the post is measured by. A repeat of what was accepted is neither counted nor refused.

        Raises:
            NotFound, Gone: no such conversation (or parent).
            Conflict: the key was used for another message, or a reply runs and the policy is "reject".
            TooMany: too many messages wait, or by the quota it is too early or too much.
            TooLarge: the conversation is full.
            Unavailable: `overloaded`: too many conversations wait or run, or the workers do not keep up.
        """
        above = "" if parent is None else parent or record.NO_PARENT
        body = record.body_hash(request, private, above)
        limits = self._limits
        keys, measures = self._keys.conversation(conversation), ["0"]
        taken: Sequence[Rate] = ()
        standing: Standing | None = None
        if quota and self._clustered:
            taken, standing = await self._measure_apart(keys, turn, quota)
            quota = Quota(budgets=quota.budgets)
        if quota:
            keys, measures = self._measured(keys, quota)
        args: list[Value] = [
            turn, body, above, policy, record.encode_request(request), record.encode_private(private),
            limits.queue, limits.turns, limits.history_bytes, limits.active, int(limits.backlog * 1000), *measures,
        ]  # fmt: skip
        reply = await self._scripts.run("post", keys, args)
        answer = reply[0]
        if taken and answer != b"OK":
            await self._rates.give_back(*taken)
        if answer == b"OK":
            cursor, position = reply[1].decode(), int(reply[2])
            safe = await self._barrier(conversation) if durable else "memory"
            standing = standing_of(reply[3:]) if quota.rates else standing
            return Receipt(conversation, turn, "queued", safe, cursor=cursor, position=position, standing=standing)
        if answer == b"DUP":
            safe = await self._barrier(conversation) if durable else "memory"
            return Receipt(conversation, turn, reply[1].decode(), safe, replayed=True)
        if answer == b"SLOW":
            raise too_fast(reply, quota.rates)
        if answer == b"SPENT":
            raise OverQuota(quota.budgets[int(reply[2]) - 1], int(reply[1]) / 1000)
        raise _refusal(answer)

    def _measured(self, keys: list[bytes], quota: Quota) -> tuple[list[bytes], list[str]]:
        """The keys and further arguments of a post that is measured."""
        rates = [self._keys.rate(rate.name) for rate in quota.rates]
        args = [str(len(rates)), *(str(rate.minute) for rate in quota.rates)]
        for budget in quota.budgets:
            args += [budget.name, str(budget.tokens)]
        shards = self._keys.spent if quota.budgets and not self._clustered else ()
        return [*keys, *rates, *shards], args

    async def _measure_apart(
        self, keys: list[bytes], turn: str, quota: Quota
    ) -> tuple[Sequence[Rate], Standing | None]:
        """Measure before the post, on a cluster, where no script reaches another slot; a repeat is let through.

        Replies what was counted, and how its sender stands.

        Raises:
            TooFast, OverQuota.
        """
        try:
            await self._rates.check(*quota.budgets)
            return quota.rates, await self._rates.take(*quota.rates)
        except TooMany:
            if await self._ask("HEXISTS", keys[TURNS], turn):
                return (), None
            raise

    async def write_down(self, conversation: str, turn: str, request: Request, private: Private) -> bool:
        """Write down what was said without asking for an answer. The turn id stands for the idempotency key.

        Tells whether it is new.

        Raises:
            NotFound, Gone: no such conversation.
            Conflict: the key was used for another message. TooLarge: the conversation is full.
        """
        limits = self._limits
        reply = await self._run(
            "write_down", conversation, turn, record.body_hash(request, private, ""), record.encode_request(request),
            record.encode_private(private), limits.turns, limits.history_bytes,
        )  # fmt: skip
        if reply[0] not in (b"OK", b"DUP"):
            raise _refusal(reply[0])
        await self._barrier(conversation)
        return bool(reply[0] == b"OK")

    async def take_out(self, conversation: str, turn: str, item: int | None) -> None:
        """Take an item of a turn that has ended out of the conversation, by its number; None: the response.

        Raises:
            NotFound: no such turn. Conflict: it has not ended.
        """
        mark = record.WITHDRAWN if item is None else item
        reply = await self._run("take_out", conversation, turn, mark)
        if reply[0] == b"OPEN":
            raise Conflict("turn_in_progress", "This has not ended yet.")
        if reply[0] != b"OK":
            raise NotFound("turn_not_found", "No such turn.")
        await self._barrier(conversation)

    async def cancel(self, conversation: str, turn: str) -> tuple[bool, Status]:
        """Stop a turn; it is over when this returns. Tells whether this call ended it, and its status.

        Raises:
            NotFound: no such turn.
        """
        reply = await self._run("cancel", conversation, turn)
        if reply[0] == b"NONE":
            raise NotFound("turn_not_found", "No such turn.")
        return reply[0] == b"OK", reply[1].decode()

    async def change(self, conversation: str, about: About, *, ttl: int = 0) -> str:
        """Describe a conversation anew. Replies the cursor of the event that says so.

        Args:
            ttl: its sliding life in seconds from now on; 0: as it is.

        Raises:
            NotFound, Gone: no such conversation.
        """
        reply = await self._run("change", conversation, _encode(about), _encode(about.public()), ttl)
        if reply[0] != b"OK":
            raise _refusal(reply[0])
        await self._barrier(conversation)
        return str(reply[1].decode())

    async def share(self, conversation: str, link: str) -> str:
        """Let whoever shows a link read a conversation, in place of the link before it; empty: nobody.

        Args:
            link: what is kept of it, hexadecimal.

        Raises:
            NotFound, Gone: no such conversation.
        """
        reply = await self._run("share", conversation, link)
        if reply[0] != b"OK":
            raise _refusal(reply[0])
        await self._barrier(conversation)
        return str(reply[1].decode())

    async def shared(self, conversation: str) -> str:
        """What is kept of the link a conversation is shared by; empty: it is not, or is not at all."""
        try:
            found: Any = await self._ask("HGET", self._keys.conversation(conversation)[0], "share")
        except TRANSIENT as error:
            raise _unreachable() from error
        return found.decode() if found else ""

    async def delete(self, conversation: str) -> bool:
        """Forget a conversation. Tells whether there was one."""
        reply = await self._run("delete", conversation, self._lifetimes.tombstone * 1000)
        await self._barrier(conversation)
        return bool(reply[0] == b"OK")

    async def owner(self, conversation: str) -> str | None:
        """Whose conversation this is, or was until it was deleted a moment ago; None when there is none."""
        try:
            found: Any = await self._ask("HGET", self._keys.conversation(conversation)[0], "owner")
        except TRANSIENT as error:
            raise _unreachable() from error
        return found.decode() if found else None

    async def snapshot(self, conversation: str, *, turns: int = 50, before: int = -1) -> Snapshot:
        """A consistent look, with at most so many turns, before that index.

        -1: the newest ones, and, unless none are asked for, all that have not ended.

        Raises:
            NotFound, Gone: no such conversation.
        """
        reply = await self._run("snapshot", conversation, turns, before)
        if reply[0] != b"OK":
            raise _refusal(reply[0])
        return _snapshot(conversation, reply)

    async def read(self, conversation: str, after: str, *, count: int = 1000) -> list[Entry] | None:
        """The entries behind a cursor, oldest first; None when the log cannot go on from there: take a snapshot."""
        log = self._keys.log(conversation)
        start = "-" if after == START else f"({after}"
        try:
            raw, last = await asyncio.gather(
                self._ask("XRANGE", log, start, "+", "COUNT", count),
                self._ask("HGET", self._keys.conversation(conversation)[0], "last"),
            )
        except TRANSIENT as error:
            raise _unreachable() from error
        # As `lib/emit.lua` writes them: p and what it holds, e and what it holds.
        entries = [Entry(cursor.decode(), fields[1].decode(), fields[3]) for cursor, fields in raw]
        if entries:
            return entries if entries[0].previous == after else None
        return [] if (last or START.encode()).decode() == after else None

    async def path(
        self, conversation: str, turn: str, *, turns: int, size: int = 1 << 30
    ) -> list[tuple[Turn, Private]]:
        """The turns that lead to a turn, oldest first, without it; at most so many turns, or about `size` bytes."""
        reply = await self._run("path", conversation, turn, turns, size)
        found = [
            (
                record.decode_turn(reply[at], reply[at + 1], reply[at + 2]),
                record.decode_private(reply[at + 1]),
            )
            for at in range(0, len(reply), 3)
        ]
        return found[::-1]

    async def turn(self, conversation: str, turn: str) -> tuple[Turn, Private] | None:
        """One turn by its id; its status may lag a running turn's by nothing."""
        own = self._keys.conversation(conversation)
        try:
            (found, outcome), running = await asyncio.gather(
                self._ask("HMGET", own[TURNS], turn, f"{turn}:o"), self._ask("HGET", own[0], "turn")
            )
        except TRANSIENT as error:
            raise _unreachable() from error
        if not found:
            return None
        return record.decode_turn(turn.encode(), found, outcome or b"", running or b""), record.decode_private(found)

    async def copy(self, conversation: str, turns: Sequence[tuple[Turn, Private]]) -> int:
        """Write ended turns as they stand elsewhere, oldest first (fork, migration). Replies how many were new."""
        written = 0
        for at in range(0, len(turns), 100):
            args: list[bytes] = []
            for turn, private in turns[at : at + 100]:
                outcome = record.encode_outcome(turn.outcome or Outcome("cancelled"))
                args += [turn.id.encode(), record.encode_record(turn, private), outcome]
            reply = await self._run("import", conversation, *args)
            if reply[0] != b"OK":
                raise _refusal(reply[0])
            written += reply[1]
        await self._barrier(conversation)
        return written

    # The index of an owner's conversations. It only helps to find them: what is not in Redis any more is skipped.

    async def note(self, owner: str, conversation: str, *, keep: int = 10_000, ttl: int = 0) -> None:
        """Put a conversation on top of its owner's list, which lives as long as what is on it."""
        life = max(self._lifetimes.conversation, self._lifetimes.session_cap, ttl) * 1000
        await self._scripts.run("index", [self._keys.index(owner)], (conversation, "add", life, keep))

    async def forget(self, owner: str, conversation: str) -> None:
        """Take a conversation off its owner's list."""
        await self._scripts.run("index", [self._keys.index(owner)], (conversation, "remove", 0, 0))

    async def listing(self, owner: str, *, limit: int = 50, offset: int = 0) -> list[Snapshot]:
        """An owner's conversations, the one last spoken in first, without their turns.

        Those of a cluster's node that is away are left out.
        """
        try:
            names: Any = await self._ask("ZREVRANGE", self._keys.index(owner), offset, offset + limit - 1)
        except TRANSIENT as error:
            raise _unreachable() from error
        conversations = [name.decode() for name in names]
        looks = (self._run("snapshot", name, 0, -1) for name in conversations)
        replies: list[Any] = await asyncio.gather(*looks, return_exceptions=True)
        failures = [reply for reply in replies if isinstance(reply, BaseException)]
        for failure in failures:
            if not (self._clustered and isinstance(failure, Unavailable) and len(failures) < len(replies)):
                raise failure
        pairs = zip(conversations, replies, strict=True)
        found = [(name, reply) for name, reply in pairs if not isinstance(reply, BaseException)]
        await asyncio.gather(*(self.forget(owner, name) for name, reply in found if reply[0] != b"OK"))
        return [_snapshot(name, reply) for name, reply in found if reply[0] == b"OK"]

    async def _ask(self, *command: bytes | str | int) -> Any:
        return await self._multiplexer.call(command)

    async def _run(self, script: str, conversation: str, *args: bytes | str | int) -> Any:
        return await self._scripts.run(script, self._keys.conversation(conversation), args)


def _snapshot(conversation: str, reply: list[Any]) -> Snapshot:
    (_, last, owner, born, left, about, _, head, total, first, running, gen, body, pieces, found, waiting, link) = reply
    turns = tuple(
        record.decode_turn(found[at], found[at + 1], found[at + 2], running) for at in range(0, len(found), 3)
    )
    return Snapshot(
        conversation=conversation,
        cursor=last.decode(),
        owner=owner.decode(),
        created_at=int(born),
        expires_at=int(time.time() * 1000) + left,
        about=_about.decode(about),
        head=head.decode(),
        total=total,
        first=first,
        turns=turns,
        running=Partial(running.decode(), int(gen), body.decode(), pieces.decode()) if running else None,
        waiting=tuple(name.decode() for name in waiting),
        link=link.decode(),
    )


def _gone() -> Gone:
    return Gone("conversation_deleted", "This conversation was deleted.")


def _unreachable() -> Unavailable:
    return Unavailable("store_unreachable", "The store is out of reach.", retry_after=1)


def _refusal(answer: bytes) -> Exception:
    """What a script's refusal means to the caller."""
    match answer:
        case b"GONE":
            return _gone()
        case b"PARENT":
            return NotFound("turn_not_found", "No such parent turn.", param="parent")
        case b"CONFLICT":
            return Conflict("idempotency_key_reused", "This idempotency key was used for another message.")
        case b"REJECT":
            return Conflict("reply_in_progress", "A reply is in progress.")
        case b"CROWDED":
            message = "More is being answered than can be: come back in a moment. Nothing was accepted."
            return Unavailable("overloaded", message, retry_after=2)
        case b"BUSY":
            return TooMany("conversation_busy", "Too many messages wait in this conversation.", retry_after=2)
        case b"FULL":
            return TooLarge("conversation_full", "The conversation has reached its size.")
        case _:
            return NotFound("conversation_not_found", "No such conversation.")


__all__ = ["Barrier", "Conversations", "Policy", "Receipt"]
