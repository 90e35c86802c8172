"""The protocol said a second time: what the scripts must do, as plain Python, without Redis.

An `Oracle` is one shard: its conversations and their work queue. Each verb takes the arguments of the script of that
name (store/scripts/*.lua) and gives its reply, with text for bytes. Time is left out, and what only a server can
choose (the ids of queue entries, the clock in cursors) is asked of `Chosen`.
"""

import copy
import functools
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

Reply = list[Any]

NO_ONE = ""
CHANNELS = {"r": "reasoning", "t": "tool"}
LATE = {"code": "queue_timeout", "message": "No worker was free in time."}
LOST = {"code": "worker_lost", "message": "Every worker that tried this turn died."}


class Chosen(Protocol):
    """What the server chose while it ran the call that the oracle is now told of."""

    def token(self, conversation: str) -> str: ...
    def wake(self) -> str: ...
    def cursor(self, conversation: str, sequence: int) -> str: ...
    def last(self, conversation: str) -> str: ...


@dataclass
class Entry:
    """An entry of the work queue: a conversation's token, or a wake-up call (no conversation)."""

    conversation: str = ""
    owner: str = NO_ONE  # the worker it is pending for
    lapsed: bool = False  # idle for longer than any lease


@dataclass
class Run:
    """The active turn, from its first acquisition on."""

    turn: str
    gen: int = 1
    fence: str = ""
    worker: str = ""
    attempts: int = 1
    total: int = 1
    mark: int = 0
    spent: list[str] = field(default_factory=list)  # fences that were superseded
    lost: list[int] = field(default_factory=list)  # the reply's length at each takeover
    body: bytes = b""
    pieces: str = ""
    # Which acquisition the fence was made for. Not in Redis: it tells two holders of one fence apart (S3).
    holder: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Turn:
    """A turn as stored; `closed` is the fence that ended it, `outcome` without its times."""

    parent: str
    hash: str
    request: str
    private: str
    closed: str = ""
    outcome: dict[str, Any] | None = None


@dataclass(frozen=True)
class Logged:
    """An entry of a log."""

    cursor: str
    previous: str
    event: dict[str, Any]
    data: bytes = field(default=b"", compare=False)  # the event as it stands in Redis


@dataclass
class Conversation:
    """A conversation as stored, and every event it ever had (Redis keeps the newest)."""

    owner: str
    about: str
    state: str = "idle"
    last: str = "0-0"
    ended: str = ""
    head: str = ""
    bytes: int = 0
    token: str = ""
    run: Run | None = None
    turns: dict[str, Turn] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    log: list[Logged] = field(default_factory=list, compare=False)
    folded: int = field(default=0, compare=False)  # so many of its first entries were cut off


class Oracle:
    """One shard. `chosen` is set before each call."""

    chosen: Chosen

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.queue: dict[str, Entry] = {}
        self.active: set[str] = set()
        self.dead: list[tuple[str, str]] = []
        # Tokens whose conversation expired: they stay in the queue until a worker finds them.
        self.strays: set[str] = set()

    def copy(self) -> "Oracle":
        """The state as it stands, for a rollback."""
        made = Oracle()
        made.conversations, made.queue, made.active, made.dead, made.strays = copy.deepcopy(
            (self.conversations, self.queue, self.active, self.dead, self.strays)
        )
        return made

    # The web side.

    def create(self, name: str, _: str, owner: str, about: str, *_limits: int) -> Reply:
        known = self.conversations.get(name)
        if known is None:
            self.conversations[name] = Conversation(owner, about)
            return ["OK"]
        if known.state == "deleted":
            return ["GONE"]
        return ["DUP"] if known.owner == owner else ["TAKEN"]

    def post(
        self, name: str, turn: str, body: str, parent: str, policy: str, request: str, private: str,
        most_waiting: int, most_turns: int, most_bytes: int, most_active: int, _most_backlog: int,
    ) -> Reply:  # fmt: skip
        c = self.conversations.get(name)
        if c is None:
            return ["NONE"]
        if c.state == "deleted":
            return ["GONE"]
        if turn in c.turns:
            return self._post_again(name, c, turn, body)
        if parent not in ("", "-") and parent not in c.turns:
            return ["PARENT"]
        ahead = len(c.waiting)
        if ahead and policy == "reject":
            return ["REJECT"]
        if ahead >= most_waiting:
            return ["BUSY"]
        size = len(request.encode())
        if len(c.order) >= most_turns or c.bytes + size > most_bytes:
            return ["FULL"]
        if not ahead and len(self.active) >= most_active:
            return ["CROWDED"]
        if ahead and policy == "interrupt":
            self._finish(name, c, "cancelled", {})
            ahead -= 1
        above = parent or c.head or "-"
        c.turns[turn] = Turn(above, body, request, private)
        c.waiting.append(turn)
        c.order.append(turn)
        c.bytes += size
        c.head = turn
        shown = "" if above == "-" else above
        cursor = self._emit(name, c, type="queued", turn=turn, parent=shown, request=json.loads(request))
        if not ahead:
            self._issue(name, c)
        return ["OK", cursor, ahead]

    def _post_again(self, name: str, c: Conversation, turn: str, body: str) -> Reply:
        known = c.turns[turn]
        if known.hash != body:
            return ["CONFLICT"]
        if c.waiting and c.token not in self.queue:
            self._issue(name, c)
        if known.outcome:
            return ["DUP", known.outcome["status"]]
        return ["DUP", "in_progress" if c.run and c.run.turn == turn else "queued"]

    def cancel(self, name: str, turn: str) -> Reply:
        c = self.conversations.get(name)
        if c is None or turn not in c.turns:
            return ["NONE"]
        known = c.turns[turn]
        if known.outcome:
            return ["NOOP", known.outcome["status"]]
        if c.waiting[0] == turn:
            self._finish(name, c, "cancelled", {})
        else:
            c.waiting.remove(turn)
            self._close(c, turn, "", {"status": "cancelled"})
            self._emit(name, c, type="end", turn=turn, status="cancelled", length=0)
        return ["OK", "cancelled"]

    def change(self, name: str, about: str, public: str) -> Reply:
        c = self.conversations.get(name)
        if c is None:
            return ["NONE"]
        if c.state == "deleted":
            return ["GONE"]
        c.about = about
        return ["OK", self._emit(name, c, type="changed", about=json.loads(public))]

    def import_(self, name: str, *turns: str) -> Reply:
        c = self.conversations.get(name)
        if c is None:
            return ["NONE"]
        if c.state == "deleted":
            return ["GONE"]
        written = 0
        for turn, record, outcome in zip(turns[::3], turns[1::3], turns[2::3], strict=True):
            if turn in c.turns:
                continue
            c.turns[turn] = parse_turn(record.encode(), outcome.encode())
            c.order.append(turn)
            c.head = turn
            c.bytes += len(record.encode()) + len(outcome.encode())
            written += 1
        if written:
            c.last, c.folded = self.chosen.last(name), len(c.log)
        return ["OK", written]

    def path(self, name: str, turn: str, most: int, size: int) -> Reply:
        """The ids alone; `size` is 0 (the parent and no more) or plenty."""
        c = self.conversations.get(name)
        found: list[str] = []
        while c and turn in c.turns and len(found) < min(most, most if size else 1):
            turn = c.turns[turn].parent
            if turn not in c.turns:
                break
            found.append(turn)
        return found

    def delete(self, name: str, _tombstone: int) -> Reply:
        c = self.conversations.get(name)
        if c is None:
            return ["NONE"]
        if c.state == "deleted":
            return ["OK"]
        self.queue.pop(c.token, None)
        self.active.discard(name)
        left = Conversation(c.owner, "", "deleted", c.last, c.ended, log=c.log, folded=len(c.log))
        self.conversations[name] = left
        self._emit(name, left, type="deleted")
        return ["OK"]

    def fold(self, name: str) -> Reply:
        c = self.conversations.get(name)
        if c and c.ended:
            at = [entry.cursor for entry in c.log].index(c.ended)
            c.folded = max(c.folded, at)
        return ["OK"]

    def expire(self, name: str) -> None:
        """Its keys expire: Redis forgets it; its token stays behind in the queue."""
        self.strays |= {token for token, entry in self.queue.items() if entry.conversation == name}
        self.conversations.pop(name, None)

    # The worker side.

    def wait(self, worker: str) -> tuple[str, Entry] | None:
        """XREADGROUP: the oldest entry nobody was given yet."""
        for token, entry in self.queue.items():
            if entry.owner == NO_ONE:
                entry.owner = worker
                return token, entry
        return None

    def lapse(self, token: str) -> None:
        """Time passes without a renewal: longer than the lease."""
        self.queue[token].lapsed = True

    def scan(self, worker: str) -> tuple[str, Entry] | None:
        """XAUTOCLAIM of one: the oldest entry whose lease has lapsed."""
        for token, entry in self.queue.items():
            if entry.lapsed:
                entry.owner, entry.lapsed = worker, False
                return token, entry
        return None

    def drop(self, _: str, token: str) -> Reply:
        self.queue.pop(token, None)
        return ["OK"]

    def keep(self, _: str, token: str, worker: str) -> int:
        if token not in self.queue or self.queue[token].owner != worker:
            return 0
        self._claim(token, worker, lapsed=False)
        return 1

    def evict(self, _: str, worker: str) -> int:
        held = [entry for entry in self.queue.values() if entry.owner == worker]
        for entry in held:
            entry.lapsed = True
        if held:
            self.queue[self.chosen.wake()] = Entry()
        return len(held)

    def acquire(
        self, name: str, _: str, token: str, worker: str, fence: str, most: int, most_total: int, longest: int,
        isolate: int, heir_of: str, *, holder: int = 0,
    ) -> Reply:  # fmt: skip
        """`longest` above zero: the driver made sure that the token is older than that."""
        c = self.conversations.get(name)
        if c is None or c.token != token:
            self.queue.pop(token, None)
            if c is None or not c.token:
                self.active.discard(name)
            return ["STALE"]
        if c.run and c.run.fence == fence:
            return self._grant(c, c.run)
        if c.run and fence in c.run.spent:
            return ["NOTMINE"]
        if token not in self.queue or self.queue[token].owner not in (worker, heir_of or worker):
            return ["NOTMINE"]
        turn = c.waiting[0]
        if isolate and c.run and len(c.run.body) <= c.run.mark and c.run.attempts + 1 >= isolate:
            return ["ISOLATE"]
        if self.queue[token].owner != worker:
            self._claim(token, worker, lapsed=False)
        if c.run is None:
            if longest:
                self._finish(name, c, "failed", {"error": LATE})
                return ["LATE", turn]
            c.run = Run(turn)
            event: dict[str, Any] = {"type": "started", "turn": turn}
        else:
            progress = len(c.run.body) > c.run.mark
            c.run.attempts = 1 if progress else c.run.attempts + 1
            c.run.mark = max(c.run.mark, len(c.run.body))
            c.run.total += 1
            c.run.lost.append(len(c.run.body))
            c.run.spent += [c.run.fence] if c.run.fence else []
            event = {"type": "takeover", "turn": turn, "attempt": c.run.attempts}
        c.state = "running"
        c.run.fence, c.run.worker, c.run.holder = fence, worker, holder
        if c.run.attempts > most or c.run.total > most_total:
            self.dead.append((name, turn))
            self._finish(name, c, "failed", {"error": LOST})
            return ["DEAD", turn]
        self._emit(name, c, **event)
        return self._grant(c, c.run)

    def _grant(self, c: Conversation, run: Run) -> Reply:
        turn = c.turns[run.turn]
        record = f"{turn.parent} {turn.hash} 0\n{turn.request}\n{turn.private}"
        counts = (str(run.attempts), str(run.gen), run.body.decode(), run.pieces, record, c.about, str(run.total))
        return ["OK", run.turn, *counts]

    def append(self, name: str, fence: str, turn: str, gen: int, offset: int, *pieces: str) -> Reply:
        c, run = self._held(name, fence, turn)
        if c is None or run is None or run.gen != gen:
            return ["FENCED"]
        if not self._put(name, c, run, offset, pieces):
            return ["OFFSET", len(run.body)]
        return ["OK", len(run.body)]

    def rewind(self, name: str, fence: str, turn: str, gen: int, offset: int) -> Reply:
        c, run = self._held(name, fence, turn)
        if c is None or run is None:
            return ["FENCED"]
        if run.gen == gen + 1 and len(run.body) == offset:
            return ["OK", run.gen]
        if run.gen != gen:
            return ["FENCED"]
        if offset > len(run.body):
            return ["OFFSET", len(run.body)]
        run.mark = max(run.mark, len(run.body))
        run.body, run.pieces, run.gen = run.body[:offset], _cut(run.pieces, offset), gen + 1
        self._emit(name, c, type="rewind", turn=turn, gen=run.gen, offset=offset)
        return ["OK", run.gen]

    def final(
        self, name: str, fence: str, turn: str, gen: int, offset: int, status: str, extra: str, *pieces: str
    ) -> Reply:
        c = self.conversations.get(name)
        known = c.turns.get(turn) if c else None
        if known and known.outcome:
            again = known.closed == fence and known.outcome["status"] == status
            return ["OK", status] if again else ["FENCED"]
        c, run = self._held(name, fence, turn)
        if c is None or run is None or run.gen != gen:
            return ["FENCED"]
        if not self._put(name, c, run, offset, pieces):
            return ["OFFSET", len(run.body)]
        self._finish(name, c, status, json.loads("{" + extra.removeprefix(",") + "}"))
        return ["OK", status]

    def renew(self, name: str, fence: str, worker: str) -> Reply:
        c = self.conversations.get(name)
        if c is None or c.run is None or c.run.fence != fence:
            return ["FENCED"]
        self._claim(c.token, worker, lapsed=False)
        return ["OK"]

    def handoff(self, name: str, fence: str, worker: str) -> Reply:
        c = self.conversations.get(name)
        if c is None or c.run is None or c.run.fence != fence:
            return ["FENCED"]
        c.run.spent.append(fence)
        c.run.fence = ""
        c.run.mark = max(c.run.mark, len(c.run.body))
        c.run.attempts -= 1
        self._claim(c.token, worker, lapsed=True)
        self.queue[self.chosen.wake()] = Entry()
        return ["OK"]

    def delay(self, name: str, fence: str, turn: str, reason: str, seconds: str) -> Reply:
        c, run = self._held(name, fence, turn)
        if c is None or run is None:
            return ["FENCED"]
        self._emit(name, c, type="delayed", turn=turn, reason=reason, seconds=float(seconds))
        return ["OK"]

    # What the verbs are made of.

    def _held(self, name: str, fence: str, turn: str) -> tuple[Conversation | None, Run | None]:
        c = self.conversations.get(name)
        held = c and c.run and c.run.fence == fence and c.run.turn == turn
        return (c, c.run) if c and held else (None, None)

    def _claim(self, token: str, worker: str, *, lapsed: bool) -> None:
        if token in self.queue:
            self.queue[token].owner, self.queue[token].lapsed = worker, lapsed

    def _put(self, name: str, c: Conversation, run: Run, offset: int, pieces: tuple[str, ...]) -> bool:
        pairs = list(zip(pieces[::2], pieces[1::2], strict=True))
        text = "".join(text for _, text in pairs).encode()
        if offset != len(run.body):
            return bool(text) and run.body[offset:] == text
        for letter, piece in pairs:
            at = len(run.body)
            run.body += piece.encode()
            run.pieces += f"{letter}{len(piece.encode())} "
            channel = {"channel": CHANNELS[letter]} if letter else {}
            self._emit(name, c, type="delta", turn=run.turn, gen=run.gen, offset=at, text=piece, **channel)
        return True

    def _emit(self, name: str, c: Conversation, **event: Any) -> str:
        cursor = self.chosen.cursor(name, _sequence(c.last) + 1)
        c.log.append(Logged(cursor, c.last, event))
        c.last = cursor
        return cursor

    def _issue(self, name: str, c: Conversation) -> None:
        c.token, c.state = self.chosen.token(name), "queued"
        self.queue[c.token] = Entry(name)
        self.active.add(name)

    def _close(self, c: Conversation, turn: str, fence: str, outcome: dict[str, Any]) -> None:
        known = c.turns[turn]
        c.turns[turn] = Turn(known.parent, known.hash, known.request, known.private, fence, outcome)

    def _finish(self, name: str, c: Conversation, status: str, extra: dict[str, Any]) -> None:
        turn = c.waiting.pop(0)
        run = c.run or Run(turn, gen=0, total=0)
        outcome: dict[str, Any] = {"status": status, "body": run.body.decode(), "pieces": run.pieces}
        outcome |= {"generation": run.gen, "attempts": run.total, **extra}
        if run.lost:
            outcome["lost"] = run.lost
        self._close(c, turn, run.fence, outcome)
        c.bytes += len(run.body)
        c.run = None
        self.queue.pop(c.token, None)
        c.token, c.state = "", "idle"
        c.ended = self._emit(name, c, type="end", turn=turn, status=status, length=len(run.body), **extra)
        if c.waiting:
            self._issue(name, c)
        else:
            self.active.discard(name)


@functools.lru_cache(10_000)
def parse_turn(record: bytes, outcome: bytes) -> Turn:
    """A turn's record and outcome, without their times."""
    head, request, private = record.decode().split("\n")
    parent, body, accepted = head.split(" ")
    assert int(accepted) > 0
    if not outcome:
        return Turn(parent, body, request, private)
    closed, text = outcome.decode().split("\n")
    fields = json.loads(text)
    assert 0 <= fields.pop("started_at", 0) <= fields.pop("ended_at")
    if "lost" in fields:
        fields["lost"] = lengths(fields["lost"])
    return Turn(parent, body, request, private, closed, fields)


def lengths(lost: str) -> list[int]:
    """The reply's length at each takeover, without when they were."""
    return [int(each.partition(":")[2]) for each in lost.split()]


def _sequence(cursor: str) -> int:
    return int(cursor.partition("-")[0] or 0)


def _cut(pieces: str, offset: int) -> str:
    kept, at = "", 0
    for word in pieces.split():
        letter = "" if word[0].isdigit() else word[0]
        size = int(word[len(letter) :])
        if at >= offset:
            break
        kept += f"{letter}{min(size, offset - at)} "
        at += size
    return kept
