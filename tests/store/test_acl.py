"""A Redis user with nothing but the prefix and the commands of store.permissions runs everything there is."""

import asyncio
import re
import textwrap
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError

from parley.core import ids
from parley.core.about import About
from parley.core.event import Entry
from parley.core.message import Message
from parley.core.pieces import Piece
from parley.core.quota import Budget, Quota, Rate
from parley.core.reply import Reply
from parley.core.turn import Outcome, Private, Request, Turn
from parley.store.appender import Appender
from parley.store.bell import Bell
from parley.store.nodes import check
from parley.store.overview import look
from parley.store.permissions import CLUSTERED, DIRECT, NEWER, SCRIPTED, acl_rules
from parley.store.scripts import Scripts, source
from parley.store.sessions import Sessions
from tests.redis_servers import Server, binaries, running
from tests.store.harness import PREFIX, Bench, run

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "redis-acl.md"
# Run by tests of their own; that their commands are granted is checked for every script.
ELSEWHERE = {"recall", "save"}
SCRIPTS = {file.name.removesuffix(".lua") for file in (resources.files("parley.store") / "scripts").iterdir()} - {"lib"}


class Limited:
    """A server, its operator's client, and the URL of a user who may do no more than needed."""

    def __init__(self, server: Server) -> None:
        self.admin = redis.Redis.from_url(server.url, protocol=2)
        for user, prefix in (("parley", PREFIX), ("other", "other:")):
            self.command("ACL", "SETUSER", user, "on", ">secret", *acl_rules(prefix))
        self.url = server.url.replace("unix://", "unix://parley:secret@")

    def command(self, *command: str) -> Any:
        return self.admin.execute_command(*command)  # type: ignore[no-untyped-call]

    def as_user(self, user: str = "parley") -> "redis.Redis":
        return redis.Redis.from_url(self.url.replace("parley:", f"{user}:"), protocol=2)


@pytest.fixture(params=list(binaries()))
def limited(request: pytest.FixtureRequest) -> Iterator[Limited]:
    with running(binaries()[request.param]) as server:
        made = Limited(server)
        yield made
        made.admin.close()


async def everything(b: Bench) -> None:
    """Whatever the store can do, once."""
    await check(b.client, PREFIX)
    await b.server.ping()  # as the bell does in long silences
    runs, other = b.runs("a"), b.runs("b")
    await runs.prepare()
    heard: list[Entry] = []
    bell = Bell(b.client, b.keys, lambda _, entry: heard.append(entry), lambda: None)
    ringing = asyncio.create_task(bell.run())
    conversation = await b.conversation(title="t")
    await bell.listen(conversation)
    await _said(b, conversation)
    grant = await b.take(runs)
    assert [one.conversation for one in (await look(b.client, b.keys)).running] == [conversation]
    await _written(b, runs, grant)
    await runs.handoff(grant)
    await other.wait(0.05)
    claim = (await other.scan(5))[0]
    assert await other.keep(claim)
    taken = await other.acquire(claim, "second")
    assert taken is not None
    await other.path(taken, turns=9, size=10**6)
    await other.final(taken, 2, 2, "completed", b"", ["", "!"])
    await _looked_at(b, conversation)
    await _audited(b)
    await b.conversations.delete(conversation)
    while not heard or b"deleted" not in heard[-1].data:
        await asyncio.sleep(0.005)
    await bell.unlisten(conversation)
    ringing.cancel()
    await asyncio.wait([ringing])
    await _poisoned(b)
    await _sessions(b)


async def _said(b: Bench, conversation: str) -> None:
    for _ in range(2):
        receipt = await b.say(conversation, "hello", key="k")
    await b.say(conversation, "again", policy="enqueue")
    withdrawn = await b.say(conversation, "never mind", quota=Quota((Rate("me", 9),), (Budget("me", 9),)))
    assert (await b.conversations.cancel(conversation, withdrawn.turn))[0]
    assert receipt.replayed


async def _written(b: Bench, runs: Any, grant: Any) -> None:
    appender = Appender(b.client, b.keys)
    appending = asyncio.create_task(appender.run())
    reply = Reply()
    writing = appender.write(grant, reply, lambda: None)
    reply.add(Piece("hello"))
    appender.notify(writing)
    while reply.sent < 5:
        await asyncio.sleep(0.005)
    appending.cancel()
    await asyncio.wait([appending])
    assert await b.append(runs, grant, 0, "hello") == [b"OK", 5]
    assert await runs.renew(grant, patience=1)
    await runs.delay(grant, "busy", 1)
    assert await runs.rewind(grant, 1, 2) == 2


async def _looked_at(b: Bench, conversation: str) -> None:
    c = b.conversations
    assert await c.owner(conversation) == "me"
    snapshot = await c.snapshot(conversation)
    turn = snapshot.turns[0]
    assert await c.turn(conversation, turn.id)
    assert await c.read(conversation, snapshot.cursor) == []
    await c.change(conversation, About(title="new"))
    await c.share(conversation, "0f")
    assert await c.shared(conversation) == "0f"
    await c.path(conversation, snapshot.head, turns=9)
    noted = ids.turn_id(conversation, "noted")
    assert await c.write_down(conversation, noted, Request((Message("user", "by the way"),)), Private())
    await c.take_out(conversation, noted, 0)
    await c.note("me", conversation)
    assert len(await c.listing("me")) == 1
    await c.forget("me", conversation)
    fork = await b.conversation()
    copied = Turn("0" * 16, "", 1, Request((Message("user", "x"),)), "completed", Outcome("completed"))
    assert await c.copy(fork, [(copied, Private())]) == 1
    runs = b.runs("a")
    await runs.fold(conversation)
    assert await runs.take_slot("m", "holder", 1)
    await runs.free_slot("m", "holder")
    await runs.tell_full(0.001)


async def _audited(b: Bench) -> None:
    """A conversation whose token is delivered, and pending for nobody."""
    conversation = await b.conversation()
    turn = (await b.say(conversation, "lost")).turn
    runs = b.runs("a")
    await b.take(runs)
    await b.server.xgroup_delconsumer(b.keys.queue("00").decode(), "w", "a")
    assert await runs.audit(0.001) == 1
    assert await b.conversations.cancel(conversation, turn) == (True, "cancelled")


async def _poisoned(b: Bench) -> None:
    """A turn that every worker dies of, and a queue nobody is left at."""
    conversation = await b.conversation()
    await b.say(conversation, "poison")
    for attempt in range(b.timing.attempts):
        runs = b.runs(f"w{attempt}")
        await b.take(runs)
        await runs.evict(runs.worker)
        await runs.evict(runs.worker)
    runs = b.runs("last")
    assert await runs.acquire(await b.claim(runs), "f") is None
    await runs.evict("last")


async def _sessions(b: Bench) -> None:
    sessions = Sessions(b.client, b.keys, b.lifetimes)
    await sessions.open("token", "Ann")
    for _ in range(2):
        await sessions.rates.take(Rate("me", 9))
    await sessions.rates.give_back(Rate("me", 9))
    assert await sessions.find("token")
    await sessions.close("token")


def test_everything_works_and_nothing_is_granted_in_vain(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = {"append"}  # the appender's pipeline does not go by Scripts
    once = Scripts.once

    async def recorded(self: Scripts, name: str, keys: Any, args: Any) -> Any:
        ran.add(name)
        return await once(self, name, keys, args)

    monkeypatch.setattr(Scripts, "once", recorded)
    limited.command("CONFIG", "RESETSTAT")

    async def main() -> None:
        bench = Bench(limited.url)
        try:
            await asyncio.wait_for(everything(bench), 30)
        finally:
            await bench.client.aclose()

    run(main())
    assert ran | ELSEWHERE == SCRIPTS | ELSEWHERE
    called = {name.removeprefix("cmdstat_").partition("|")[0] for name in limited.admin.info("commandstats")}
    granted = {name.partition("|")[0] for name in (*SCRIPTED, *DIRECT)}
    assert granted - called == set()


def test_the_scripts_call_what_is_listed() -> None:
    called = {name.lower() for script in SCRIPTS for name in re.findall(r"call\('([A-Z]+)'", source(script))}
    assert called == {name.partition("|")[0] for name in SCRIPTED}


REFUSED: dict[str, tuple[str | bytes | int, ...]] = {
    "keys": ("KEYS", "*"),
    "scan": ("SCAN", "0"),
    "flushall": ("FLUSHALL",),
    "flushdb": ("FLUSHDB",),
    "config": ("CONFIG", "GET", "*"),
    "script flush": ("SCRIPT", "FLUSH"),
    "debug": ("DEBUG", "SLEEP", "0"),
    "acl": ("ACL", "LIST"),
    "replicaof": ("REPLICAOF", "NO", "ONE"),
    "shutdown": ("SHUTDOWN", "NOSAVE"),
    "monitor": ("MONITOR",),
    "client list": ("CLIENT", "LIST"),
    "another prefix": ("HGET", "other:x", "field"),
    "no prefix": ("SET", "x", "1"),
    "another channel": ("PUBLISH", "other:x", "1"),
    "every channel": ("SUBSCRIBE", "other:x"),
    "channels by pattern": ("PSUBSCRIBE", "*"),
    "another prefix from a script": ("EVAL", "return redis.call('GET', KEYS[1])", 1, "other:x"),
    "an undeclared key in a script": ("EVAL", "return redis.call('GET', 'other:x')", 0),
    "another channel from a script": ("EVAL", "return redis.call('PUBLISH', 'other:x', '1')", 0),
    "a command from a script": ("EVAL", "return redis.call('KEYS', '*')", 0),
}


@pytest.mark.parametrize("command", list(REFUSED.values()), ids=list(REFUSED))
def test_everything_else_is_refused(limited: Limited, command: tuple[str | bytes | int, ...]) -> None:
    with limited.as_user() as client, pytest.raises(ResponseError) as refused:
        client.execute_command(*command)
    text = str(refused.value).lower()
    assert isinstance(refused.value, NoPermissionError) or "permission" in text or "can't" in text or "debug" in text


def test_another_deployment_sees_nothing_of_ours(limited: Limited) -> None:
    bench = Bench(limited.url)
    keys = bench.keys.conversation("conv_00" + "a" * 32)
    with limited.as_user("other") as other, pytest.raises(ResponseError, match=r"(?i)permission|can't"):
        other.eval(source("snapshot"), len(keys), *keys, 50, -1)


def test_the_reference_quotes_the_rules() -> None:
    text = DOCUMENT.read_text()
    rules = " ".join(acl_rules("parley:"))
    for line in textwrap.wrap(rules, 100, break_on_hyphens=False):
        assert line in text
    assert all(f"+{name}" in text for name in (*NEWER, *CLUSTERED))
