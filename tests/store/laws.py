"""The protocol's laws S1-S12 (and L4), judged by what stands in Redis alone: the oracle has no say here.

    S1   one user message and one answer a turn        S7   turns stand in the order they were accepted
    S2   the answer is the bytes of its deltas         S8   one idempotency key, one turn, one body
    S3   one holder of a fence at a time (Pair.call)   S9   one token iff turns wait; `active` agrees
    S4   entries form one chain                        S10  after the end of a turn, no event of it
    S5   a viewer at the head shows the snapshot       S11  a terminal status never changes
    S6   text shrinks only by rewind or snapshot       S12  an error reply means nothing changed
    L4   every key of a conversation expires, and all together

S1, S6, S10 are core.view.View's own: it refuses (Violation) whatever breaks them.
"""

from parley.core.cursor import START, sequence
from parley.core.view import View
from parley.wire import frames
from tests.store.observed import Shard
from tests.store.oracle import Conversation, Logged

# Replies that promise that nothing changed.
REFUSALS = {
    "NONE", "GONE", "PARENT", "BUSY", "REJECT", "FULL", "CONFLICT", "TAKEN",
    "FENCED", "OFFSET", "NOTMINE", "ISOLATE", "NOOP",
}  # fmt: skip


class Broken(AssertionError):
    """A law was broken; the message begins with its name."""


def law(holds: bool, name: str, why: object) -> None:
    """State that a law holds."""
    if not holds:
        raise Broken(f"{name}: {why}")


class Referee:
    """Watches one conversation: folds every entry that was ever written and compares what is stored with it."""

    def __init__(self) -> None:
        self.view = View()

    def watch(self, before: Conversation | None, after: Conversation, new: list[Logged]) -> None:
        """Judge a step from `before` to `after` that wrote `new` entries."""
        for entry in new:
            law(entry.previous == self.view.cursor, "S4", f"{entry.cursor} follows {entry.previous}")
            law(sequence(entry.cursor) == sequence(entry.previous) + 1, "S4", entry)
            self.view.apply(entry.cursor, entry.previous, frames.decode_event(entry.data))
        law(self.view.cursor == after.last, "S4", f"meta names {after.last}, the log {self.view.cursor}")
        if after is before:
            return
        self._turns(after)
        if before and after.state != "deleted":
            law(after.order[: len(before.order)] == before.order, "S7", (before.order, after.order))
            for turn, known in before.turns.items():
                law(after.turns[turn].hash == known.hash, "S8", turn)
                law(known.outcome is None or after.turns[turn] == known, "S11", turn)

    def _turns(self, c: Conversation) -> None:
        law(c.state == "deleted" or list(self.view.turns) == c.order, "S7", (list(self.view.turns), c.order))
        law(len(set(c.order)) == len(c.order) and set(c.turns) == set(c.order), "S1", c.order)
        for turn, stored in c.turns.items():
            shown = self.view.turns[turn]
            if stored.outcome:
                body, pieces = stored.outcome.get("body", ""), stored.outcome.get("pieces", "")
                law(stored.outcome["status"] == shown.status, "S11", (turn, stored.outcome, shown.status))
            elif c.run and c.run.turn == turn:
                body, pieces = c.run.body.decode(), c.run.pieces
                law(shown.status == "in_progress", "S5", (turn, shown.status))
            else:
                body = pieces = ""
                law(shown.status == "queued", "S5", (turn, shown.status))
            law((body.encode(), pieces.split()) == (shown.body, shown.pieces.split()), "S2", (turn, body, shown.body))
            law((turn in c.waiting) == (stored.outcome is None), "S1", f"{turn} waits")


def tokens(shard: Shard, strays: set[str]) -> None:
    """S9. `strays` are tokens of conversations that expired: nobody takes them back before a worker meets them."""
    out: dict[str, list[str]] = {}
    left = set()
    for token, entry in shard.queue.items():
        if token in strays:
            left.add(entry.conversation)
        elif entry.conversation:
            out.setdefault(entry.conversation, []).append(token)
    for name, c in shard.conversations.items():
        law(out.get(name, []) == ([c.token] if c.waiting else []), "S9", f"{name} waits {c.waiting}, {out}")
        law(name in left or (name in shard.active) == bool(c.waiting), "S9", f"{name} active {name in shard.active}")


def lifetimes(shard: Shard) -> None:
    """L4: PTTL gives -2 for no key, -1 for a key that never expires."""
    for name, left in shard.lifetimes.items():
        there = [ms for ms in left if ms != -2]
        law(all(ms > 0 for ms in there), "L4", f"{name} {left}")
        if there and name in shard.conversations and shard.conversations[name].state != "deleted":
            law(max(there) - min(there) < 5_000, "L4", f"{name} {left}")


def unchanged(reply: str, before: Shard, after: Shard) -> None:
    """S12."""
    same = (before.conversations, before.queue, before.active, before.dead) == (
        after.conversations,
        after.queue,
        after.active,
        after.dead,
    )
    law(same and not any(log.new for log in after.logs.values()), "S12", f"{reply} changed something")


def viewer(view: View, c: Conversation) -> None:
    """S5: a viewer that stands at the head shows what is stored, of the turns it knows; it knows all unended ones."""
    law(view.cursor == c.last or c.last == START, "S5", (view.cursor, c.last))
    for turn in c.waiting:
        law(turn in view.turns, "S5", f"{turn} waits, and a viewer does not know it")
    for turn, shown in view.turns.items():
        stored = c.turns[turn]
        run = c.run if c.run and c.run.turn == turn else None
        outcome = stored.outcome or {}
        status = outcome.get("status", "in_progress" if run else "queued")
        body = run.body if run else outcome.get("body", "").encode()
        pieces = run.pieces if run else outcome.get("pieces", "")
        gen = run.gen if run else outcome.get("generation") or 1
        known = (shown.status, shown.body, shown.pieces.split(), shown.gen)
        law(known == (status, body, pieces.split(), gen), "S5", (turn, known, (status, body, pieces, gen)))
