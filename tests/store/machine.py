"""A hypothesis state machine: draws moves from the present state and drives oracle and scripts side by side.

Workers and clients behave as real ones do: they remember what they were told, retry what they got no reply to, and
act on replies. A call is heard, lost (never executed) or unheard (executed, reply lost); any earlier call may be
delivered again at any later time; leases run out, workers crash, the database jumps back.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from parley.core import ids, pieces
from parley.core.message import Message
from parley.core.turn import Outcome, Private, Request, Turn
from parley.core.view import Gap, View
from parley.store.keys import Keys
from parley.wire import frames, record
from tests.store import laws
from tests.store.laws import law
from tests.store.pair import KEEP, Args, Edits, Pair

KEYS = Keys("walk:", 1)
NAMES = [f"conv_00{letter * 32}" for letter in "ab"]
WORKERS = ("ann", "bob", "cid")

# What one conversation may take; small, so that the caps are met.
WAITING, TURNS, BYTES = 3, 9, 100_000
ATTEMPTS, TOTAL = 2, 4

# Pieces of replies and messages: what JSON, Lua patterns and string formats may trip over.
TEXTS = ("a", "é€😀", '"\\/', "\n\r\t", "%s%d%%", "\x00\x01\x7f", "\u2028\ufeff", "x" * 300, "1e3", "]}")

PICK = st.integers(0, 2**16 - 1)
FATES = ["heard"] * 7 + ["lost", "unheard", "unheard"]
FATE = st.sampled_from(FATES)
TENDING = ["fold", "fold", "change", "change", "import", "import", "import", "path", "create", "you"]
MOVES = st.lists(st.integers(0, 2**24 - 1), min_size=2, max_size=6)
NAME = st.sampled_from(NAMES)
WORKER = st.sampled_from(WORKERS)


@dataclass
class Holding:
    """A token a worker was given, and, once acquired, the turn and the text it remembers."""

    token: str
    name: str
    fence: str
    number: int
    turn: str = ""
    gen: int = 0
    body: bytes = b""
    sent: int = 0
    again: tuple[str, Args] | None = None  # the call it had no reply to
    heir_of: str = ""  # the worker whose isolated child runs the turn


def ended(number: int) -> tuple[str, str, str]:
    """A turn that ended elsewhere, as import takes it."""
    request = Request((Message("user", f"elsewhere {number}"),))
    outcome = Outcome("completed", TEXTS[number], record_of(TEXTS[number]), 1, 6, 7, attempts=1)
    turn = Turn(f"{number:016x}", "", 5, request, "completed", outcome)
    return turn.id, record.encode_record(turn, Private()).decode(), record.encode_outcome(outcome).decode()


def record_of(text: str) -> str:
    return pieces.record([pieces.Piece(text)])


class Walk(RuleBasedStateMachine):
    """One walk. The class is bound to a server with `on`."""

    client: ClassVar["redis.Redis"]
    edits: ClassVar[Edits] = ()
    counter_fence: ClassVar[bool] = False
    finished: ClassVar[Callable[["Walk"], None]] = staticmethod(lambda _: None)

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(self.client, KEYS, NAMES, self.edits)
        self.bell = self.client.pubsub()  # type: ignore[no-untyped-call]
        self.bell.psubscribe("walk:*")
        assert self.bell.get_message(timeout=5) is not None
        self.sent: list[tuple[str, str, Args, int]] = []
        self.held: dict[str, list[Holding]] = {worker: [] for worker in WORKERS}
        self.viewers = [(name, View()) for name in NAMES for _ in range(2)]
        self.shown = [view for _, view in self.viewers]
        self.dumps: list[Any] = []
        self.numbers = 0
        self.steps = 0
        self.broken = False

    def call(self, script: str, name: str, *args: str | int, fate: str = "heard", number: int = 0) -> Any:
        """Send a call; None when no reply comes."""
        self.sent.append((script, name, args, number))
        if fate == "lost":
            return None
        reply = self._guarded(lambda: self.pair.call(script, name, args, number))
        return reply if fate == "heard" else None

    def _guarded(self, act: Callable[[], Any]) -> Any:
        self.steps += 1
        try:
            return act()
        except BaseException:
            self.broken = True
            raise

    @initialize()
    def begin(self) -> None:
        for name in NAMES:
            self.create(name, "heard")
            self.say(name, 0, 0, 0, "heard")

    def create(self, name: str, fate: str, owner: str = "me") -> None:
        self.call("create", name, name, owner, '{"title":"t"}', 3600, 0, KEEP, fate=fate)

    # Clients.

    @rule(name=NAME, key=st.integers(0, 9), other=st.integers(0, 19), policy=st.integers(0, 5), fate=FATE)
    def say_something(self, name: str, key: int, other: int, policy: int, fate: str) -> None:
        """One message, or two at once."""
        self.say(name, key, other, policy, fate)
        if other % 2:
            self.say(name, (key + 1) % 10, 0, policy, "heard")

    def say(self, name: str, key: int, other: int, policy: int, fate: str) -> None:
        """The key tells text and parent, but for one in ten that uses the key of another message."""
        above = {3: "-", 5: ids.turn_id(name, "k0"), 7: ids.turn_id(name, "k3")}.get(key, "")
        request = Request((Message("user", f"{key} {TEXTS[key]}{'!' * (other in (1, 4))}"),))
        policies = ("enqueue", "enqueue", "enqueue", "enqueue", "reject", "interrupt")
        self.call(
            "post", name, ids.turn_id(name, f"k{key}"), record.body_hash(request, Private(), above), above,
            policies[policy], record.encode_request(request).decode(), record.encode_private(Private()).decode(),
            WAITING, TURNS, 60 if other in (2, 3) else BYTES, 1 if other in (6, 7) else 100, 0, fate=fate,
        )  # fmt: skip

    @precondition(lambda self: self.steps % 3 == 1)
    @rule(name=NAME, pick=PICK, fate=FATE)
    def cancel(self, name: str, pick: int, fate: str) -> None:
        c = self.pair.oracle.conversations.get(name)
        turns = [*c.waiting, *c.waiting, *c.order[-1:], "0" * 16] if c else ["0" * 16]
        self.call("cancel", name, turns[pick % len(turns)], fate=fate)

    @precondition(lambda self: self.steps % 2 == 0)
    @rule(name=NAME, fate=FATE, what=st.sampled_from(TENDING))
    def tend(self, name: str, fate: str, what: str) -> None:
        if what == "fold":
            self.call("fold", name, fate=fate)
        elif what == "change":
            about = json.dumps({"title": str(self.steps)})
            self.call("change", name, about, about, fate=fate)
        elif what == "import":
            numbers = (self.steps % 3, self.steps % 4)
            self.call("import", name, *(part for number in numbers for part in ended(number)), fate=fate)
        elif what == "path":
            c = self.pair.oracle.conversations.get(name)
            self.call(
                "path", name, c.head if c and c.head else "0" * 16, 1 + self.steps % 4, self.steps % 3 and 1 << 30
            )
        else:
            self.create(name, fate, "you" if what == "you" else "me")

    @precondition(lambda self: self.steps % 5 == 4)
    @rule(name=NAME, fate=FATE, expire=st.booleans())
    def remove(self, name: str, fate: str, expire: bool) -> None:
        if expire:
            self._guarded(lambda: self.pair.expire(name))
        else:
            self.call("delete", name, 60_000, fate=fate)

    # Workers.

    @rule(worker=WORKER, moves=MOVES)
    def work(self, worker: str, moves: list[int]) -> None:
        """A worker does what its state asks for next, some times."""
        for move in moves:
            spread = move * 2654435761 % 2**32  # hypothesis likes small numbers; each of them is a move
            self._work(worker, spread >> 26, spread >> 14 & 4095, FATES[(spread & 16383) % len(FATES)])

    @rule(pick=PICK, moves=MOVES)
    def work_on(self, pick: int, moves: list[int]) -> None:
        """The same, for a worker that holds something."""
        busy = [worker for worker in WORKERS if self.held[worker]] or list(WORKERS)
        self.work(busy[pick % len(busy)], moves)

    def _work(self, worker: str, pick: int, texts: int, fate: str) -> None:
        held = self.held[worker]
        if not held or (len(held) < 2 and pick % 16 == 15):
            look = self.pair.wait if pick % 2 else self.pair.scan
            self._take(worker, self._guarded(lambda: look(worker)))
            return
        h = held[texts % len(held)]
        if not h.turn and pick % 16 == 14:
            self.call("keep", "", h.token, worker, fate=fate)
        elif not h.turn:
            self._acquire(worker, h, late=pick % 8 == 7, fate=fate)
        else:
            self._write_on(worker, h, pick, texts, fate)

    def _write_on(self, worker: str, h: Holding, pick: int, texts: int, fate: str) -> None:
        """The next call of a worker that holds a turn."""
        if h.again and pick % 2:
            self._send(worker, h, *h.again, fate=fate)
            return
        script = ("append", "append", "append", "append", "final", "rewind", "")[pick % 7]
        script = script or ("renew", "handoff", "delay")[texts % 3]
        self._send(worker, h, script, self._arguments(script, worker, h, texts), fate)

    def _arguments(self, script: str, worker: str, h: Holding, texts: int) -> Args:
        match script:
            case "append":
                return (h.fence, h.turn, h.gen, h.sent, *self._pieces(h, texts))
            case "final":
                extra = ("", ',"model":"m","usage":{"input_tokens":1,"output_tokens":2}')[texts % 2]
                pieces = self._pieces(h, texts) if texts % 3 else self._rest(h)
                return (h.fence, h.turn, h.gen, h.sent, ("completed", "incomplete")[texts % 2], extra, *pieces)
            case "rewind":
                shown = h.body[: h.sent].decode()
                offset = len(shown[: texts % (len(shown) + 2)].encode()) + 10_000 * (texts % 10 == 9)
                return (h.fence, h.turn, h.gen, offset)
            case "delay":
                return (h.fence, h.turn, 'busy "\n', "1.5")
            case _:
                return (h.fence, f"{worker}'s child" if h.heir_of else worker)

    def _send(self, worker: str, h: Holding, script: str, args: Args, fate: str) -> None:
        """A holder's call, and what it makes of the reply."""
        reply = self.call(script, h.name, *args, fate=fate, number=h.number)
        h.again = None if reply else (script, args)
        if reply is None:
            return
        if reply[0] == "FENCED" or (script in ("final", "handoff") and reply[0] == "OK"):
            self.held[worker].remove(h)
        elif reply[0] == "OFFSET":
            law(script == "rewind" or reply[1] <= len(h.body), "S3", f"{reply}, its holder remembers {len(h.body)}")
            h.sent = min(reply[1], len(h.body))
        elif script == "append":
            h.sent = reply[1]
            stands = self.pair.oracle.conversations[h.name].run
            law(stands is not None and stands.body == h.body[: h.sent], "S2", f"{stands} is not what {h} wrote")
        elif script == "rewind":
            h.gen, h.sent = reply[1], int(args[3])
            h.body = h.body[: h.sent]

    @precondition(lambda self: any(entry.owner for entry in self.pair.oracle.queue.values()))
    @rule(worker=WORKER, pick=PICK)
    def take_over(self, worker: str, pick: int) -> None:
        """A lease runs out, and a worker finds it: often the very one that held it."""
        pending = [(token, entry.owner) for token, entry in self.pair.oracle.queue.items() if entry.owner]
        token, owner = pending[pick % len(pending)]
        worker = owner if owner in WORKERS and pick % 3 else worker
        self._guarded(lambda: self.pair.lapse(token))
        self._take(worker, self._guarded(lambda: self.pair.scan(worker)))

    @precondition(lambda self: any(self.held.values()))
    @rule(worker=WORKER, seen=st.booleans())
    def crash(self, worker: str, seen: bool) -> None:
        """A worker forgets everything; its supervisor may see it."""
        self.held[worker].clear()
        if seen:
            self.call("evict", "", worker)

    def _take(self, worker: str, given: Any) -> None:
        if given is None:
            return
        token, entry = given
        if not entry.conversation:
            self.call("drop", "", token)
            return
        self.numbers += 1
        fence = self._guarded(self.pair.next_of_counter) if self.counter_fence else f"f{self.numbers}"
        self.held[worker].append(Holding(token, entry.conversation, str(fence), self.numbers))

    def _acquire(self, worker: str, h: Holding, *, late: bool, fate: str) -> None:
        if late:
            time.sleep(0.0025)
        consumer = f"{worker}'s child" if h.heir_of else worker
        isolate = ATTEMPTS if late and not h.heir_of else 0
        args = (h.name, h.token, consumer, h.fence, ATTEMPTS, TOTAL, int(late), isolate, h.heir_of)
        reply = self.call("acquire", h.name, *args, fate=fate, number=h.number)
        if reply and reply[0] == "OK":
            h.turn, h.gen, h.body = reply[1], int(reply[3]), reply[4].encode()
            h.sent = len(h.body)
        elif reply and reply[0] == "ISOLATE":
            h.heir_of = worker
        elif reply:
            self.held[worker].remove(h)

    def _rest(self, h: Holding) -> list[str]:
        """What the worker remembers and has not been told to stand."""
        return ["", h.body[h.sent :].decode()] if len(h.body) > h.sent else []

    def _pieces(self, h: Holding, texts: int) -> list[str]:
        """The rest, and one or two new pieces that name holder and place."""
        pieces = self._rest(h)
        for k in range(1 + texts % 2):
            text = f"<{h.number}:{len(h.body)}>{TEXTS[(texts + k) % len(TEXTS)]}" if texts % 11 else ""
            pieces += [("", "", "", "r", "t")[(texts + k) % 5], text]
            h.body += text.encode()
        return pieces

    # The network and the database.

    @precondition(lambda self: len(self.sent) > 2)
    @rule(back=st.integers(1, 40), kind=st.sampled_from(["", "acquire", "append", "rewind", "final", "delay"]))
    def deliver_late(self, back: int, kind: str) -> None:
        """An earlier call (of that script) arrives (again)."""
        such = [call for call in self.sent if call[0] == kind] or self.sent
        script, name, args, number = such[-min(back, len(such))]
        self._guarded(lambda: self.pair.call(script, name, args, number))

    @rule()
    def dump(self) -> None:
        self.dumps.append(self._guarded(self.pair.dump))

    @precondition(lambda self: self.dumps and self.steps % 2)
    @rule(pick=PICK)
    def roll_back(self, pick: int) -> None:
        dump = self.dumps[-1 - pick % min(len(self.dumps), 3)]
        time.sleep(0.0015)  # clocks move on: queue entry ids are milliseconds
        self._guarded(lambda: self.pair.rollback(dump))

    # Viewers.

    @rule(who=st.integers(0, 3), count=st.sampled_from([0, 1, 2, 5, 100]), turns=st.sampled_from([1, 2, 9]))
    def follow(self, who: int, count: int, turns: int) -> None:
        """A viewer moves on: some entries, or a snapshot where the log does not join. None: it comes anew."""
        self._guarded(lambda: self._follow(who, count, turns))

    def _follow(self, who: int, count: int, turns: int) -> None:
        name, _ = self.viewers[who]
        view, c = self.shown[who], self.pair.oracle.conversations.get(name)
        log = self.pair.keys[name][1]
        found: Any = self.client.xrange(log, "-" if view.cursor == "0-0" else f"({view.cursor}", "+", count or 1)
        joins = c is not None and c.last == view.cursor
        if found:
            joins = found[0][1][1].decode() == view.cursor
        if joins and count:
            for cursor, (_, previous, _, event) in found:
                try:
                    view.apply(cursor.decode(), previous.decode(), frames.decode_event(event))
                except Gap as gap:
                    raise laws.Broken(f"S4: {gap}") from gap
        else:
            view = self.shown[who] = self.pair.snapshot(name, turns)
        if c and c.state != "deleted" and view.cursor == c.last:
            laws.viewer(view, c)

    # The end of the walk: faults are over, one worker lives.

    def teardown(self) -> None:
        try:
            if not self.broken:
                self._drain()
                self._check_bell()
        finally:
            self.bell.close()
            self.finished()

    def _drain(self) -> None:
        """Every accepted turn ends, and nothing is left in the queue (L1, L2)."""
        for _ in range(40):
            for token in [t for t, entry in self.pair.oracle.queue.items() if entry.owner]:
                self.pair.lapse(token)
            given = self.pair.scan("eve") or self.pair.wait("eve")
            if given is None:
                break
            token, entry = given
            if not entry.conversation:
                self.call("drop", "", token)
                continue
            fence = f"e{token}"
            reply = self.call("acquire", entry.conversation, entry.conversation, token, "eve", fence, 99, 99, 0, 0, "")
            if reply[0] == "OK":
                at = len(reply[4].encode())
                self.call("final", entry.conversation, fence, reply[1], int(reply[3]), at, "completed", "")
        law(not self.pair.oracle.queue, "L2", self.pair.oracle.queue)
        for c in self.pair.oracle.conversations.values():
            law(not c.waiting and all(turn.outcome for turn in c.turns.values()), "L1", c)

    def _check_bell(self) -> None:
        """The bell rang once for each entry, in order, with the entry."""
        for log, entry in self.pair.bells:
            message = self.bell.get_message(timeout=5)
            assert message is not None
            heard = frames.parse_bell(message["data"])
            assert (message["channel"], heard.cursor) == (log, entry.cursor)
            assert (heard.previous, heard.data) == (entry.previous, entry.data)
