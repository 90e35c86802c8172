"""The proof of the protocol: scripts and oracle agree on every walk, and no planted fault survives one.

``PARLEY_SEED`` chooses other walks than the usual ones; a failure prints the moves that lead to it.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec import Struct

from parley.core.view import Violation
from parley.store import scripts
from tests.redis_servers import binaries, running
from tests.store.machine import Walk

SEED = int(os.environ.get("PARLEY_SEED", "1"))

# Walks of one seed resemble each other; many seeds get further.
BATCH = 10

# Every reply of every script the walk calls must have been met, or the walk proves less than it says.
REPLIES = {
    "create": "OK DUP TAKEN GONE",
    "post": "OK DUP CONFLICT NONE GONE PARENT BUSY REJECT FULL CROWDED",
    "acquire": "OK STALE NOTMINE ISOLATE DEAD LATE",
    "append": "OK FENCED OFFSET",
    "rewind": "OK FENCED OFFSET",
    "final": "OK FENCED OFFSET",
    "renew": "OK FENCED",
    "handoff": "OK FENCED",
    "delay": "OK FENCED",
    "cancel": "OK NOOP NONE",
    "snapshot": "",
    "change": "OK NONE GONE",
    "delete": "OK NONE",
    "fold": "OK",
    "import": "OK NONE GONE",
    "drop": "OK",
    "evict": "OK",
}


@pytest.fixture(params=list(binaries()))
def client(request: pytest.FixtureRequest) -> Iterator["redis.Redis"]:
    """A server of its own. Small stream nodes let logs be trimmed early; replies come as they are on the wire."""
    with connected(request.param) as made:
        yield made


class connected:  # noqa: N801
    """A client of a throw-away server."""

    def __init__(self, server: str) -> None:
        self._running = running(binaries()[server], "--appendonly", "no", "--stream-node-max-entries", "8")

    def __enter__(self) -> "redis.Redis":
        self._client = redis.Redis.from_url(self._running.__enter__().url, protocol=2)
        self._client.response_callbacks.clear()
        return self._client

    def __exit__(self, *error: Any) -> None:
        self._client.close()
        self._running.__exit__(*error)


class Result(Struct):
    """What the walks did."""

    steps: int = 0
    seen: Counter[tuple[str, str]] = Counter()


def walk(client: "redis.Redis", walks: int, *, shrink: bool = False, **attributes: Any) -> Result:
    """Walk; raises what a walk finds."""
    result = Result(0, Counter())

    def finished(self: Walk) -> None:
        result.steps += self.steps
        result.seen.update(self.pair.seen)

    bound = type("BoundWalk", (Walk,), {"client": client, "finished": finished, **attributes})
    chosen = settings(
        max_examples=BATCH,
        stateful_step_count=60,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        verbosity=Verbosity.normal if shrink else Verbosity.quiet,
    )
    for batch in range(walks // BATCH):
        run_state_machine_as_test(seed(1000 * SEED + batch)(bound), settings=chosen)
    return result


@pytest.mark.timeout(400)
def test_oracle_and_scripts_agree(client: "redis.Redis") -> None:
    begun = time.monotonic()
    result = walk(client, 200, shrink=True)
    seconds = time.monotonic() - begun
    print(f"seed {SEED}: {result.steps} checked steps, {result.steps / seconds:.0f} a second")
    unmet = {(script, reply) for script, replies in REPLIES.items() for reply in replies.split()} - set(result.seen)
    assert not unmet


class Fault(Struct, frozen=True):
    """Texts of scripts and what they are replaced with. A guard that is second line to another falls with it."""

    name: str
    edits: tuple[tuple[str, str], ...] = ()
    counter_fence: bool = False


FENCE = "known[1] ~= ARGV[1] or "
OWNER = ("if #pending == 0 or (pending[1][2] ~= worker and", "if #pending == 0 or (false and")
TOKEN = ("if known[1] ~= token then", "if not known[1] then")
GEN = (" or known[3] ~= ARGV[3] then", " then")
OFFSET = ("if length ~= offset then", "if false then")
RETRACTED = "'token', 'fence', 'worker', 'turn', 'gen', 'started', 'attempts', 'total', 'mark', 'spent')"
FAULTS = [
    Fault("append and final ask for no fence", ((FENCE, ""), ("known[1] ~= fence or ", ""))),
    Fault("nobody asks where the reply ends", (OFFSET,)),
    Fault("the end leaves its token behind", (("  retract()\n  local cursor", "  local cursor"),)),
    Fault("the end acknowledges its token only", (("call('XDEL', queue, token)", ""),)),
    Fault("the end deletes its token only", (("call('XACK', queue, GROUP, token)", ""),)),
    Fault("the fence comes from a counter in Redis", counter_fence=True),
    Fault("neither generation nor offset is asked for", (GEN, OFFSET)),
    Fault("neither fence nor generation is asked for", ((FENCE, ""), GEN)),
    Fault("neither token nor owner is asked for", (TOKEN, OWNER)),
    Fault("a worker that does not hold the token acquires", (OWNER,)),
    Fault("an idempotency key is not looked up", (("if record then", "if false then"),)),
    Fault("an idempotency key is taken for any body", (("~= hash then", "== nil then"),)),
    Fault("rewind counts no generation", (("'gen', gen + 1,", "'gen', gen,"),)),
    Fault("rewind forgets the longest there was", (("math.max(length, tonumber(known[4])))", "offset)"),)),
    Fault("a retried acquire counts as an attempt", (("if known[2] == fence then", "if false then"),)),
    Fault("a retried final is refused", (("if closed == fence and ended == status", "if false"),)),
    Fault("a superseded fence is granted again", (("if string.find(spent,", "if false and string.find(spent,"),)),
    Fault("stop lets the holder go on", ((RETRACTED, "'token')"),)),
    Fault("interrupt enqueues a second token", (("  ahead = ahead - 1\n", "  ahead = 0\n"),)),
    Fault("a withdrawn turn stays in line", (("call('LREM', waiting, 1, turn)", ""),)),
    Fault("an entry does not name the one before it", (("'p', previous,", "'p', cursor,"),)),
    Fault("the bell rings with another entry", ((" .. previous .. ' ' ..", " .. cursor .. ' ' .."),)),
    Fault("a snapshot leaves out turns that wait", (("if oldest then", "if false then"),)),
    Fault("folding cuts off the end itself", (("'MINID', ended", "'MAXLEN', 0"),)),
    Fault("handing over charges an attempt", (("call('HINCRBY', meta, 'attempts', -1)", ""),)),
    Fault("evicting a worker throws its work away", (("if #held == 0 then", "if true then"),)),
    Fault("deleting leaves the turn to its holder", (("retract()\ncall('ZREM'", "call('ZREM'"),)),
    Fault("keys that appear in mid-turn never expire", (("if fresh then", "if false then"),)),
    Fault("the outcome is not what was said", (("= call('GET', reply) or '', call", "= '', call"),)),
    Fault("text is added and the event forgotten", (("length = length + #text", "break"),)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_planted_fault_is_caught(fault: Fault) -> None:
    names = {name for name in REPLIES for old, _ in fault.edits if old in scripts.source(name)}
    assert fault.counter_fence or len(names) >= 1
    with connected(next(iter(binaries()))) as client, pytest.raises((AssertionError, Violation)) as caught:
        walk(client, 200, edits=fault.edits, counter_fence=fault.counter_fence)
    print(f"{fault.name}: {caught.value!r:.300}")
