"""What really stands in Redis, in the oracle's terms: one script reads a whole shard in one step."""

import json
from dataclasses import dataclass, field
from typing import Any

import redis
from msgspec import Struct

from tests.store.oracle import Conversation, Entry, Logged, Run, lengths, parse_turn

# Longer than any lease a test uses; the idle time that "time passes" gives a token.
LAPSED_MS = 600_000

# KEYS: the seven keys of each conversation, then queue, active, dead. ARGV: the last cursor known of each.
SOURCE = """
local call = redis.call
local found, n = {}, #ARGV
for c = 1, n do
  local k, left = 7 * (c - 1), {}
  for i = 1, 7 do left[i] = call('PTTL', KEYS[k + i]) end
  local log = KEYS[k + 2]
  found[c] = {call('HGETALL', KEYS[k + 1]), call('LRANGE', KEYS[k + 5], 0, -1), call('HGETALL', KEYS[k + 6]),
    call('GET', KEYS[k + 3]), call('GET', KEYS[k + 4]), call('LRANGE', KEYS[k + 7], 0, -1),
    {call('XRANGE', log, '(' .. ARGV[c], '+'), call('XLEN', log), call('XRANGE', log, '-', '+', 'COUNT', 1)}, left}
end
local queue, active, dead = KEYS[7 * n + 1], KEYS[7 * n + 2], KEYS[7 * n + 3]
found[n + 1] = {call('XRANGE', queue, '-', '+'), call('XPENDING', queue, 'w', '-', '+', 1000),
  call('ZRANGE', active, 0, -1), call('LRANGE', dead, 0, -1)}
return found
"""


class Log(Struct):
    """The log's new entries, how many it keeps, and the oldest it keeps."""

    new: list[Logged]
    length: int
    first: str


@dataclass
class Shard:
    """A shard as it stands."""

    conversations: dict[str, Conversation]
    logs: dict[str, Log]
    lifetimes: dict[str, list[int]]
    queue: dict[str, Entry]
    active: set[str]
    dead: list[tuple[str, str]]
    raw: Any = field(repr=False, default=None)


class Observer:
    """Reads a shard again and again; what did not change is not parsed again."""

    def __init__(self, client: "redis.Redis", keys: dict[str, list[bytes]]) -> None:
        self._script = client.register_script(SOURCE)
        self._names = list(keys)
        shared = next(iter(keys.values()))[7:]
        self._keys = [key for own in keys.values() for key in own[:7]] + shared
        self._parsed: dict[str, tuple[Any, Conversation]] = {}

    def look(self, known: dict[str, str]) -> Shard:
        """The shard now; `known` is the last cursor known of each conversation's log."""
        reply: Any = self._script(keys=self._keys, args=[known[name] for name in self._names])
        conversations, logs, lifetimes = {}, {}, {}
        for name, raw in zip(self._names, reply, strict=False):
            logs[name] = _log(*raw[6])
            lifetimes[name] = raw[7]
            if raw[0]:
                conversations[name] = self._conversation(name, raw[:6])
        entries, pending, active, dead = reply[-1]
        return Shard(
            conversations,
            logs,
            lifetimes,
            _queue(entries, pending),
            {name.decode() for name in active},
            [(letter["conversation"], letter["turn"]) for letter in map(json.loads, dead)],
            reply,
        )

    def _conversation(self, name: str, raw: list[Any]) -> Conversation:
        known = self._parsed.get(name)
        if known and known[0] == raw:
            return known[1]
        made = _conversation(raw)
        self._parsed[name] = (raw, made)
        return made


def _conversation(raw: list[Any]) -> Conversation:
    meta, order, turns, reply, pieces, waiting = raw
    fields = {name.decode(): value.decode() for name, value in _pairs(meta)}
    stored = dict(_pairs(turns))
    run = None
    if "turn" in fields:
        numbers = {name: int(fields[name]) for name in ("gen", "attempts", "total", "mark")}
        run = Run(
            fields["turn"], fence=fields["fence"], worker=fields["worker"], spent=fields["spent"].split(),
            lost=lengths(fields.get("lost", "")), body=reply or b"", pieces=(pieces or b"").decode(), **numbers,
        )  # fmt: skip
    else:
        assert reply is None and pieces is None, "a reply without a running turn"  # noqa: PT018
    return Conversation(
        owner=fields["owner"],
        about=fields.get("about", ""),
        state=fields["state"],
        last=fields.get("last", "0-0"),
        ended=fields.get("ended", ""),
        head=fields.get("head", ""),
        bytes=int(fields.get("bytes", 0)),
        token=fields.get("token", ""),
        run=run,
        turns={
            turn.decode(): parse_turn(record, stored.get(turn + b":o", b""))
            for turn, record in stored.items()
            if not turn.endswith(b":o")
        },
        order=[turn.decode() for turn in order],
        waiting=[turn.decode() for turn in waiting],
    )


def _log(new: list[Any], length: int, first: list[Any]) -> Log:
    entries = [
        Logged(cursor.decode(), fields[1].decode(), json.loads(fields[3]), fields[3])
        for cursor, fields in new
        if fields[::2] == [b"p", b"e"]
    ]
    assert len(entries) == len(new), "a log entry has other fields"
    return Log(entries, length, first[0][0].decode() if first else "")


def _queue(entries: list[Any], pending: list[Any]) -> dict[str, Entry]:
    queue = {}
    for token, fields in entries:
        (name, value), *rest = _pairs(fields)
        assert not rest
        queue[token.decode()] = Entry(value.decode() if name == b"c" else "")
    for token, owner, idle, _ in pending:
        entry = queue.get(token.decode())
        assert entry is not None, "an entry is pending that was deleted"
        entry.owner, entry.lapsed = owner.decode(), idle >= LAPSED_MS
    return queue


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
