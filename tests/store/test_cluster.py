"""A cluster: what is written finds its node, wherever that is by now, and is there once."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from redis.crc import key_slot

from parley.core import ids
from parley.core.about import About
from parley.core.errors import Unavailable
from parley.core.event import Entry
from parley.core.pieces import Piece
from parley.core.quota import Budget, Quota, Rate
from parley.core.reply import Reply
from parley.store.address import clustered as parsed
from parley.store.address import normalise, redacted
from parley.store.appender import Appender, Writing
from parley.store.bell import Bell
from parley.store.nodes import check, nodes
from parley.store.overview import look
from parley.store.permissions import acl_rules
from parley.store.rates import OverQuota, TooFast
from parley.store.seed_data import SeedData
from parley.store.sessions import Sessions
from tests.redis_cluster import Cluster, Node, clustered
from tests.redis_servers import binaries, running
from tests.store.harness import PREFIX, Bench, on, run
from tests.store.test_acl import everything

OLDEST = next(iter(binaries().values()))
SHARDS = 16


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three primaries, for all tests that leave them as they were."""
    with clustered(replicas=0) as made:
        yield made


class Story:
    """Replies to several conversations, on all nodes, and whoever listens to them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.runs = bench.runs()
        self.appender = Appender(bench.client, bench.keys)
        self.bell = Bell(bench.client, bench.keys, self._hear, self._reset)
        self.writings: list[Writing] = []
        self.heard: dict[str, list[Entry]] = {}
        self.resets = 0
        self.said = 0

    def _hear(self, conversation: str, entry: Entry) -> None:
        self.heard.setdefault(conversation, []).append(entry)

    def _reset(self) -> None:
        self.resets += 1

    async def begin(self, conversations: int) -> None:
        names = [ids.conversation_id(bytes([at]) * 16, SHARDS) for at in range(conversations)]
        for name in names:
            await self.bench.conversations.create(name, "me", About())
            await self.bell.listen(name)
            await self.bench.say(name, "hello")
        while len(self.writings) < conversations:
            for queues in self.runs.together:
                claims, _ = await self.runs.wait(0.01, 10, queues)
                for claim in claims:
                    grant = await self.runs.acquire(claim, secrets.token_hex(8))
                    assert grant is not None
                    self.writings.append(self.appender.write(grant, Reply(), lambda: pytest.fail("lost")))

    def say(self, pieces: int) -> None:
        """Every reply grows by so many pieces."""
        for _ in range(pieces):
            for writing in self.writings:
                writing.reply.add(Piece(f"word{self.said} "))
                self.appender.notify(writing)
            self.said += 1

    async def settled(self, *writings: Writing, seconds: float = 60) -> None:
        """Wait until all, or these, are written."""
        async with asyncio.timeout(seconds):
            for writing in writings or self.writings:
                while writing.reply.sent < writing.reply.length:
                    await asyncio.sleep(0.005)

    async def judge(self) -> None:
        """Each reply has each piece once."""
        text = "".join(f"word{number} " for number in range(self.said))
        for writing in self.writings:
            turn = writing.grant.turn.id
            assert (await self.bench.view(writing.grant.claim.conversation)).turns[turn].body.decode() == text

    async def finish(self) -> None:
        for writing in self.writings:
            await self.appender.hold(writing)
            reply = writing.reply
            await self.runs.final(writing.grant, reply.generation, reply.sent, "completed", b"", [])


@contextlib.asynccontextmanager
async def story(url: str, conversations: int = 12) -> AsyncIterator[Story]:
    async with on(url, shards=SHARDS) as made:
        it = Story(made)
        tasks = [asyncio.create_task(part.run()) for part in (it.appender, it.bell)]
        try:
            await it.begin(conversations)
            yield it
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 40
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


# How it is named, and what is refused.


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis+cluster://", "name nodes"),
        ("redis+cluster://a:1,,b:2", "name nodes"),
        ("redis+cluster://a:70000", "name nodes"),
        ("redis+cluster://a/1", "no databases"),
        ("redis+cluster://a/0?db=2", "no databases"),
        ("redis+cluster://a/service", "no databases"),
        ("redis+cluster://a?ssl_ca_certs=x", "for TLS"),
        ("redis+cluster://a?sentinel_password=x", "may not have"),
        ("redis+cluster://[::1", "must name nodes"),
    ],
)
def test_a_malformed_address_is_refused_without_repeating_it(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        normalise(url)


def test_an_address_names_nodes_and_shows_no_password() -> None:
    url = "rediss+cluster://me:s%40fe@a,[::1]:7001,c:7002/0?ssl_ca_certs=/ca.pem"
    found = parsed(normalise(url))
    assert found is not None
    assert found.nodes == (("a", 6379), ("::1", 7001), ("c", 7002))
    assert found.server == "rediss://me:s%40fe@a:6379/0?ssl_ca_certs=%2Fca.pem"
    assert "s%40fe" not in repr(found)
    assert redacted(url) == "rediss+cluster://a,[::1]:7001,c:7002/0?ssl_ca_certs=/ca.pem"
    assert parsed("redis://a:1") is None


def told(url: str, fault: str) -> None:
    async def main() -> None:
        client = nodes(url)
        try:
            with pytest.raises(Unavailable, match=fault):
                await check(client, PREFIX)
        finally:
            await client.aclose()

    run(main())


def test_the_wrong_form_is_told_in_one_line(cluster: Cluster) -> None:
    told(f"redis://127.0.0.1:{cluster.nodes[0].port}", r"a node of a cluster: begin with redis\+cluster://")
    with running(tcp=True) as single:
        told(f"redis+cluster://127.0.0.1:{single.port}", "is none: begin with redis://")


def test_a_cluster_that_cannot_be_used_is_told_in_one_line(cluster: Cluster) -> None:
    told("redis+cluster://127.0.0.1:1,127.0.0.1:2", "cannot be reached")
    told(cluster.url.replace("://", "://:wrong@"), "refused the user or password")
    node = cluster.nodes[1]
    node.ask("CONFIG", "SET", "maxmemory", "100mb")
    node.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    told(cluster.url, f"127.0.0.1:{node.port} throws data away")
    node.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    slots = range(5)
    cluster.nodes[0].ask("CLUSTER", "DELSLOTS", *slots)
    told(f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}", "leaves 5 of 16384 slots to nobody")
    cluster.nodes[0].ask("CLUSTER", "ADDSLOTS", *slots)


# What it does.


def test_everything_works_for_a_user_with_the_least_rights(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.ask("ACL", "SETUSER", "parley", "on", ">secret", *acl_rules(PREFIX, clustered=True))

    async def main() -> None:
        bench = Bench(cluster.url.replace("://", "://parley:secret@"))
        bench.server = await bench.client.of(bench.keys.queue("00"))
        try:
            assert (await check(bench.client, PREFIX)).servers == 3
            await asyncio.wait_for(everything(bench), 60)
        finally:
            await bench.client.aclose()

    run(main())


def test_what_lies_on_several_nodes_is_found(cluster: Cluster) -> None:
    async def main() -> None:
        async with story(cluster.url) as it:
            bench = it.bench
            homes = {cluster.serving(writing.key).port for writing in it.writings}
            assert len(homes) == 3
            it.say(3)
            await it.settled()
            seen = await look(bench.client, bench.keys)
            assert (len(seen.running), seen.away) == (12, 0)
            assert [(one.name, one.turns) for one in seen.workers] == [("worker-a", 12)]
            await it.finish()
            for writing in it.writings:
                await bench.conversations.note("me", writing.grant.claim.conversation)
            assert len(await bench.conversations.listing("me")) == 12
            sessions = Sessions(bench.client, bench.keys, bench.lifetimes)
            for number in range(9):
                await sessions.open(f"token{number}", f"name{number}")
                await sessions.log_in(f"name{number}", "secret")
                session = await sessions.find(f"token{number}")
                assert session is not None
                assert session.name == f"name{number}"
                assert await sessions.is_logged_in(f"name{number}", "secret")
            assert await it.runs.evict("worker-a") == 0

    run(main())


def test_rates_and_budgets_count_over_all_nodes(cluster: Cluster) -> None:
    async def main() -> None:
        async with on(cluster.url, shards=SHARDS) as bench:
            quota = Quota((Rate("session:me", 3), Rate("address:here", 30)), (Budget("me", 1000),))
            names = [await bench.conversation() for _ in range(4)]
            for left, name in enumerate(names[:3]):
                receipt = await bench.say(name, "hello", quota=quota)
                assert receipt.standing is not None
                assert receipt.standing.remaining == 2 - left
            with pytest.raises(TooFast):
                await bench.say(names[3], "hello", quota=quota)
            grant = await bench.take(bench.runs())
            extra = b'"usage":{"input_tokens":400,"output_tokens":600}'
            await bench.runs().final(grant, 1, 0, "completed", b"," + extra, ["", "hi"])
            with pytest.raises(OverQuota):
                await bench.say(names[0], "hello", quota=Quota((), (Budget("me", 1000),)))

    run(main())


def test_the_first_seeds_data_are_found_on_all_nodes(cluster: Cluster) -> None:
    async def main() -> None:
        async with on(cluster.url) as bench:
            keys = {f"msciab:assistant:{37 * number:08x}-0000-0000-0000-000000000000" for number in range(9)}
            for key in keys:
                await bench.client.execute(key.encode(), "RPUSH", key, "user: hello")
            assert len({cluster.serving(key).port for key in keys}) == 3
            data = SeedData(bench.client, "msciab:")
            assert {key async for key in data.keys("course")} == keys
            assert all([await data.read(key) for key in keys])

    run(main())


def test_a_slot_changes_over_under_a_reply(cluster: Cluster) -> None:
    """In all its steps: keys torn apart (TRYAGAIN), then all at the new node (ASK), then the slot itself (MOVED)."""

    async def main() -> None:
        async with story(cluster.url) as it:
            writing = it.writings[0]
            conversation = writing.grant.claim.conversation
            source, slot = cluster.serving(writing.key), key_slot(writing.key)
            target = next(node for node in cluster.primaries if node is not source)
            it.say(5)
            await it.settled()
            before = errors(source, target)
            cluster.begin_move(slot, source, target)
            keys = it.bench.keys.conversation(conversation)
            cluster.move(source, target, keys[2])
            it.say(5)
            await until(lambda: errors(source, target)["TRYAGAIN"] > before["TRYAGAIN"], "torn apart")
            others = [each for each in it.writings if key_slot(each.key) != slot]
            await it.settled(*others)
            assert writing.reply.sent < writing.reply.length
            assert not any(each.held for each in it.writings)
            cluster.move(source, target, keys[0], keys[1], keys[3])
            await it.settled(writing)
            assert errors(source, target)["ASK"] > before["ASK"]
            asked = target.calls("asking")
            it.say(5)
            await it.settled(writing)
            assert target.calls("asking") > asked
            assert errors(source, target)["MOVED"] == before["MOVED"]
            heard = it.resets
            cluster.end_move(slot, source, target)
            it.say(5)
            await it.settled()
            assert errors(source, target)["MOVED"] > before["MOVED"]
            await until(lambda: it.resets > heard, "the bell to say that something may have been missed")
            count = len(it.heard[conversation])
            it.say(1)
            await until(lambda: len(it.heard[conversation]) > count, "the bell to hear at the new node")
            await it.settled()
            await it.judge()
            await it.finish()
            assert await it.bench.runs().evict("worker-a") == 0

    run(main())


def errors(*servers: Node) -> dict[str, int]:
    """How often they sent someone on, or away."""
    return {code: sum(node.errors(code) for node in servers) for code in ("ASK", "MOVED", "TRYAGAIN")}


def test_a_token_is_found_while_its_queue_changes_over(cluster: Cluster) -> None:
    """The one command that blocks on the server; it is sent on as well."""

    async def main() -> None:
        async with on(cluster.url, shards=SHARDS) as bench:
            name = ids.conversation_id(b"q" * 16, SHARDS)
            queue = bench.keys.queue(ids.shard_of(name))
            source, slot = cluster.serving(queue), key_slot(queue)
            target = next(node for node in cluster.primaries if node is not source)
            runs = bench.runs()
            await bench.conversations.create(name, "me", About())
            reading = asyncio.create_task(runs.wait(30, 1, (queue,)))
            await until(lambda: source.about("clients")["blocked_clients"] == 1, "the reader to wait")
            cluster.begin_move(slot, source, target)
            cluster.end_move(slot, source, target)
            with contextlib.suppress(Unavailable):
                await reading
            await bench.say(name, "hello")
            assert (await bench.take(runs)).claim.conversation == name

    run(main())


def test_a_killed_primary_of_old_servers() -> None:
    """Redis 6.2 knows no sharded channels: its nodes tell each other everything."""
    with clustered(binary=OLDEST) as made:

        async def main() -> None:
            async with story(made.url) as it:
                it.say(10)
                await it.settled()
                victim = made.serving(it.writings[0].key)
                here = [each for each in it.writings if made.serving(each.key) is victim]
                others = [each for each in it.writings if each not in here]
                victim.kill()
                it.say(10)
                await it.settled(*others)
                assert all(each.reply.sent < each.reply.length for each in here)
                seen = await look(it.bench.client, it.bench.keys)
                assert 0 < seen.away < SHARDS
                await asyncio.to_thread(made.await_failover, victim, it.writings[0].key)
                resets = it.resets
                await it.settled()
                await it.judge()
                await until(lambda: it.resets > resets or it.resets > 6, "the bell to stand again")
                counts = {name: len(entries) for name, entries in it.heard.items()}
                it.say(1)
                await it.settled()
                await until(
                    lambda: all(len(it.heard[name]) > count for name, count in counts.items()), "all to be heard"
                )
                await it.finish()

        run(main())


def test_a_node_that_stands_still_keeps_nothing_else_from_going_on(cluster: Cluster) -> None:
    """It says nothing at all; what is asked of the others is answered."""

    async def main() -> None:
        async with story(cluster.url) as it:
            victim = cluster.serving(it.writings[0].key)
            here = [each for each in it.writings if cluster.serving(each.key) is victim]
            others = [each for each in it.writings if each not in here]
            os.kill(victim.pid, signal.SIGSTOP)
            try:
                it.say(5)
                await it.settled(*others)
                for writing in others:
                    assert await it.runs.renew(writing.grant, patience=2)
                    await it.bench.say(writing.grant.claim.conversation, "more")
                assert all(each.reply.sent < each.reply.length for each in here)
            finally:
                os.kill(victim.pid, signal.SIGCONT)
            await it.settled()
            await it.judge()

    run(main())
