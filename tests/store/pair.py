"""The oracle and the real scripts, driven side by side: every call is checked against both before the next."""

import copy
import keyword
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import redis

from parley.core.cursor import START
from parley.core.view import View
from parley.store import scripts
from parley.store.conversations import _snapshot
from parley.store.keys import GROUP, Keys
from tests.store import laws
from tests.store.laws import Referee, law
from tests.store.observed import LAPSED_MS, Observer, Shard
from tests.store.oracle import Entry, Logged, Oracle

# Texts of scripts and what they are replaced with, to plant a fault.
Edits = Sequence[tuple[str, str]]
Args = tuple[str | int, ...]

# Scripts that only a turn's holder may run, and which argument is the fence.
FENCES = {"append": 0, "rewind": 0, "final": 0, "renew": 0, "handoff": 0, "delay": 0, "acquire": 3}
# Replies whose rest only a server can know: times and counts of trimmed entries.
BARE = {"create", "fold"}
KEEP = 24  # events kept in a log
ACCEPTED = re.compile(rb"^(\S+ \S+) [0-9]+\n")

DUMP = """
local all = {}
for i, key in ipairs(KEYS) do all[i] = {redis.call('DUMP', key), redis.call('PTTL', key)} end
return all
"""
RESTORE = """
for i, key in ipairs(KEYS) do
  redis.call('DEL', key)
  local left = tonumber(ARGV[2 * i])
  if left ~= -2 then redis.call('RESTORE', key, math.max(left, 0), ARGV[2 * i - 1]) end
end
"""


class Chosen:
    """What the server chose during the last call, read off the shard."""

    def __init__(self, after: Shard, oracle: Oracle) -> None:
        self._after, self._oracle = after, oracle

    def token(self, conversation: str) -> str:
        c = self._after.conversations.get(conversation)
        return c.token if c else "none"

    def wake(self) -> str:
        fresh = [t for t, e in self._after.queue.items() if not e.conversation and t not in self._oracle.queue]
        return fresh[0] if fresh else "none"

    def last(self, conversation: str) -> str:
        return self._after.conversations[conversation].last

    def cursor(self, conversation: str, sequence: int) -> str:
        new = {entry.cursor.partition("-")[0]: entry.cursor for entry in self._after.logs[conversation].new}
        return new.get(str(sequence), f"{sequence}-none")


class Pair:
    """One shard, twice."""

    def __init__(self, client: "redis.Redis", keys: Keys, conversations: list[str], edits: Edits = ()) -> None:
        self.client = client
        self.names = conversations
        self.keys = {name: keys.conversation(name) for name in conversations}
        self.queue = keys.queue("00")
        self.counter = self.queue + b":fences"
        self.oracle = Oracle()
        self.referees = {name: Referee() for name in conversations}
        self.seen: Counter[tuple[str, str]] = Counter()
        self.bells: list[tuple[bytes, Logged]] = []
        self._edits = edits
        self._scripts: dict[str, str] = {}
        self._observer = Observer(client, self.keys)
        self._raw("FLUSHALL")
        self._raw("XGROUP", "CREATE", self.queue, GROUP, "0", "MKSTREAM")
        self.now = self._look()

    # Calls. Each runs for real, then in the oracle, and is judged.

    def call(self, script: str, name: str, args: Args, holder: int = 0) -> Any:
        """Run a script on a conversation's keys (on the queue alone when there is no name)."""
        c = self.oracle.conversations.get(name)
        held = (c.run.fence, c.run.holder) if c and c.run and c.run.fence else None
        verb = getattr(self.oracle, f"{script}_" if keyword.iskeyword(script) else script)
        extra = {"holder": holder} if script == "acquire" else {}
        reply = self.both(
            script,
            lambda: self._run(script, self.keys.get(name, [self.queue]), args),
            lambda: verb(name, *args, **extra),
        )
        answer = reply[0] if isinstance(reply, list) and script != "path" else "OK"
        self.seen[script, answer] += 1
        if held and answer == "OK" and script in FENCES and args[FENCES[script]] == held[0]:
            law(held[1] == holder, "S3", f"{script} by holder {holder}, the turn is held by {held[1]}")
        return reply

    def both(self, what: str, real: Callable[[], Any], model: Callable[[], Any]) -> Any:
        """Do something on both sides; replies and states must be equal, and every law must hold."""
        before = self.now
        reply = normal(real())
        reply = reply[:1] if what in BARE else reply[::3] if what == "path" else reply
        after = self._look()
        self.oracle.chosen = Chosen(after, self.oracle)
        expected = model()
        self._judge(what, reply, before, after)
        assert reply == expected, f"{what}: replied {reply}, the oracle {expected}"
        self._compare(what, after)
        self.now = after
        return reply

    def wait(self, worker: str) -> tuple[str, Entry] | None:
        """XREADGROUP, one new entry."""

        def real() -> Any:
            found = self._raw("XREADGROUP", "GROUP", GROUP, worker, "COUNT", 1, "STREAMS", self.queue, ">")
            return found[0][1][0][0] if found else None

        return self._given(real, lambda: self.oracle.wait(worker))

    def scan(self, worker: str) -> tuple[str, Entry] | None:
        """XAUTOCLAIM, one lapsed entry."""

        def real() -> Any:
            found = self._raw("XAUTOCLAIM", self.queue, GROUP, worker, LAPSED_MS, "0-0", "COUNT", 1)[1]
            return found[0][0] if found else None

        return self._given(real, lambda: self.oracle.scan(worker))

    def _given(
        self, real: Callable[[], Any], model: Callable[[], tuple[str, Entry] | None]
    ) -> tuple[str, Entry] | None:
        found: list[tuple[str, Entry]] = []

        def token() -> str | None:
            given = model()
            found.extend([given] if given else [])
            return given[0] if given else None

        self.both("claim", real, token)
        return found[0] if found else None

    def snapshot(self, name: str, turns: int) -> View:
        """The view of someone who comes now."""
        view, c = View(), self.now.conversations.get(name)
        reply = self.client.evalsha(self.load("snapshot"), len(self.keys[name]), *self.keys[name], turns, -1)
        if reply[0] == b"OK":
            snapshot = _snapshot(name, reply)
            view.restore(snapshot)
            c = self._observer.look(self._known()).conversations[name]
            assert [turn.id for turn in snapshot.turns] == c.order[snapshot.first :]
            assert (snapshot.total, list(snapshot.waiting), snapshot.head) == (len(c.order), c.waiting, c.head)
        elif reply[0] == b"GONE":
            assert c is not None
            assert c.state == "deleted"
            view.cursor, view.deleted = reply[1].decode(), True
        else:
            assert (reply, c) == ([b"NONE"], None)
        return view

    def lapse(self, token: str) -> None:
        """Let a lease run out, without waiting."""
        owner = self.oracle.queue[token].owner
        command = ("XCLAIM", self.queue, GROUP, owner, 0, token, "IDLE", 6 * LAPSED_MS, "JUSTID")
        self.both("lapse", lambda: self._done(*command), lambda: self.oracle.lapse(token))

    def expire(self, name: str) -> None:
        """Let a conversation's keys expire, without waiting."""
        self.referees[name] = Referee()
        command = ("DEL", *self.keys[name][:7])
        self.both("expire", lambda: self._done(*command), lambda: self.oracle.expire(name))

    # The whole database goes back to an earlier state.

    def dump(self) -> Any:
        """Everything, as it stands."""
        return self.client.eval(DUMP, len(self._all()), *self._all()), self.oracle.copy(), copy.deepcopy(self.referees)

    def rollback(self, dump: Any) -> None:
        """Everything, as it stood."""
        blobs, oracle, referees = dump
        flat = [part for blob, left in blobs for part in (blob or b"", left)]
        self.client.eval(RESTORE, len(self._all()), *self._all(), *flat)
        self.oracle, self.referees = oracle.copy(), copy.deepcopy(referees)
        self.now = self._look()
        self._compare("rollback", self.now)

    def next_of_counter(self) -> int:
        """A number from a counter kept in Redis, which rolls back with it."""
        return int(self.client.incr(self.counter))

    def _all(self) -> list[bytes]:
        own = [key for keys in self.keys.values() for key in keys[:7]]
        return [*own, *self.keys[self.names[0]][7:], self.counter]

    def _raw(self, *command: Any) -> Any:
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def _done(self, *command: Any) -> None:
        self._raw(*command)

    def load(self, script: str) -> str:
        """Make the server know a script; its digest."""
        if script not in self._scripts:
            text = scripts.source(script)
            for old, new in self._edits:
                text = text.replace(old, new)
            self._scripts[script] = self._raw("SCRIPT", "LOAD", text).decode()
        return self._scripts[script]

    def _run(self, script: str, keys: list[bytes], args: Args) -> Any:
        return self.client.evalsha(self.load(script), len(keys), *keys, *args)

    def _look(self) -> Shard:
        return self._observer.look(self._known())

    def _known(self) -> dict[str, str]:
        known = dict.fromkeys(self.names, START)
        return known | {name: c.last for name, c in self.oracle.conversations.items()}

    def _judge(self, what: str, reply: Any, before: Shard, after: Shard) -> None:
        for name, c in after.conversations.items():
            if what == "import" and c is not before.conversations.get(name):
                self.referees[name].view = self.snapshot(name, 1000)  # no entry tells of what was imported
            self.referees[name].watch(before.conversations.get(name), c, after.logs[name].new)
            self.bells += [(self.keys[name][1], entry) for entry in after.logs[name].new]
        laws.tokens(after, self.oracle.strays)
        laws.lifetimes(after)
        if isinstance(reply, list) and reply and reply[0] in laws.REFUSALS:
            laws.unchanged(f"{what} {reply}", before, after)

    def _compare(self, what: str, after: Shard) -> None:
        oracle = self.oracle
        for name in self.names:
            mine, theirs = oracle.conversations.get(name), after.conversations.get(name)
            assert theirs == mine, f"{what}: {name} is {theirs}, the oracle has {mine}"
            log = after.logs[name]
            if mine is None or len(mine.log) == mine.folded:
                assert (log.length, log.new) == (0, []), f"{what}: a log without events"
                continue
            assert log.new == mine.log[len(mine.log) - len(log.new) :], f"{what}: {log.new}, {mine.log[-3:]}"
            left = len(mine.log) - mine.folded
            assert min(KEEP, left) <= log.length <= left, f"{what}: the log keeps {log.length} of {left}"
            assert mine.log[-log.length].cursor == log.first, f"{what}: the log begins at {log.first}"
        assert after.queue == oracle.queue, f"{what}: queue is {after.queue}, the oracle has {oracle.queue}"
        assert after.active == oracle.active, f"{what}: active is {after.active}, the oracle has {oracle.active}"
        assert after.dead == oracle.dead, f"{what}: dead is {after.dead}, the oracle has {oracle.dead}"


def normal(reply: Any) -> Any:
    """A reply in the oracle's terms: text, no times."""
    if isinstance(reply, list):
        return [normal(part) for part in reply]
    return ACCEPTED.sub(rb"\1 0\n", reply).decode() if isinstance(reply, bytes) else reply
