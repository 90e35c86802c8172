"""Sentinels: which addresses are understood, what is refused at start, and how every connection moves on."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from redis import exceptions

from parley.core.errors import Unavailable
from parley.core.event import Entry
from parley.store.address import normalise, redacted, watched
from parley.store.bell import Bell
from parley.store.connect import Client, ServerInfo, check, connect
from parley.store.connections import PrimaryPool
from parley.store.scripts import TRANSIENT
from tests.redis_sentinels import SERVICE, Shape, failing_over, watching
from tests.redis_servers import Server, free_port, running
from tests.store.harness import PREFIX, Bench, run
from tests.store.test_acl import everything

SECRET = "s3cr3t-passw0rd"


@pytest.fixture(scope="module")
def shape() -> Iterator[Shape]:
    with failing_over() as made:
        yield made


def checked(url: str) -> ServerInfo:
    async def main() -> ServerInfo:
        client = connect(url)
        try:
            return await check(client, PREFIX)
        finally:
            await client.aclose()

    return asyncio.run(main())


def refused(url: str) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        checked(url)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "sentinel" in str(caught.value)
    return caught.value


async def insist(call: Callable[[], object]) -> None:
    """Repeat until it goes, as a failover takes a while."""
    async with asyncio.timeout(40):
        while True:
            with contextlib.suppress(*TRANSIENT, Unavailable):
                await call()  # type: ignore[misc]
                return
            await asyncio.sleep(0.05)


def test_what_an_address_says() -> None:
    found = watched(f"rediss+sentinel://me:p%40ss@a,[::1]:5,c:7/my.set/2?ssl_ca_certs=/ca&sentinel_password={SECRET}")
    assert found is not None
    assert found.sentinels == (("a", 26379), ("::1", 5), ("c", 7))
    assert (found.service, found.username, found.password) == ("my.set", None, SECRET)
    assert found.server == "rediss://me:p%40ss@my.set/2?ssl_ca_certs=%2Fca"
    assert SECRET not in f"{found} {found!r}"
    assert watched("redis://h") is None


@pytest.mark.parametrize(
    "text",
    [
        "redis+sentinel://",
        "redis+sentinel:///service",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h,/service",
        "redis+sentinel://h:0/service",
        "redis+sentinel://h:99999/service",
        "redis+sentinel://h:x/service",
        "redis+sentinel://[::1/service",
        "redis+sentinel://h/service/zero",
        "redis+sentinel://h/service/0/1",
        "redis+sentinel://h/ser vice",
        "redis+sentinel://h/service?protocol=3",
        "redis+sentinel://h/service?ssl_ca_certs=/x",
        "unix+sentinel://h/service",
        f"redis+sentinel://u:{SECRET}@h:x/service?sentinel_password={SECRET}",
        "redis://h?sentinel_password=x",
    ],
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        normalise(text)
    assert SECRET not in str(caught.value)


def test_an_address_is_printed_without_its_passwords() -> None:
    url = f"redis+sentinel://u:{SECRET}@a:1,b:2/service/0?sentinel_password={SECRET}&db=1"
    assert redacted(normalise(url)) == "redis+sentinel://a:1,b:2/service/0?db=1"


def test_the_primary_is_found(shape: Shape) -> None:
    assert checked(shape.url).appends
    others = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{shape.sentinels[1].port}/{SERVICE}"
    assert checked(others).appends  # one that answers is enough


def test_everything_works(shape: Shape) -> None:
    async def main() -> None:
        bench = Bench(shape.url)
        try:
            await asyncio.wait_for(everything(bench), 60)
        finally:
            await bench.client.aclose()

    run(main())


def test_what_is_refused_at_start(shape: Shape) -> None:
    port = shape.sentinels[0].port
    dead = refused(f"redis+sentinel://127.0.0.1:{free_port()}/{SERVICE}")
    assert dead.code == "redis_unreachable"
    assert "no sentinel answers" in str(dead)
    unknown = refused(f"redis+sentinel://127.0.0.1:{port}/elsewhere")
    assert unknown.code == "redis_refused"
    assert str(unknown).endswith("the sentinels do not tell: No such master with that name")
    server = refused(f"redis+sentinel://127.0.0.1:{shape.primary.port}/{SERVICE}")
    assert "unknown command" in str(server)
    wrong = refused(f"redis+sentinel://u:{SECRET}@127.0.0.1:{port}/{SERVICE}")
    assert (wrong.code, "refused the user or password" in str(wrong)) == ("redis_refused", True)


def test_passwords_of_both_kinds() -> None:
    with running(None, "--requirepass", "right", tcp=True) as server, watching(server, "requirepass guard") as sentinel:
        hosts = f"127.0.0.1:{sentinel.port}/{SERVICE}"
        assert checked(f"redis+sentinel://:right@{hosts}?sentinel_password=guard").appends
        for query in ("", f"?sentinel_password={SECRET}"):
            wrong = refused(f"redis+sentinel://:right@{hosts}{query}")
            assert wrong.code == "redis_refused"
            assert "sentinel_password" in str(wrong)


def test_a_replica_is_not_taken_for_the_primary(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = next(server for server in shape.servers if server is not shape.primary)

    async def mistaken(self: object) -> tuple[str, int]:
        return "127.0.0.1", replica.port

    monkeypatch.setattr("parley.store.sentinels.Sentinels.primary", mistaken)
    assert "is a replica" in str(refused(shape.url))


def test_the_newest_configuration_counts(shape: Shape) -> None:
    async def main() -> None:
        client = connect(shape.url)
        assert isinstance(client.connection_pool, PrimaryPool)
        sentinels = client.connection_pool.sentinels
        old, new = (1, ("old", 1)), (2, ("new", 2))
        for answers in ([old, new, OSError()], [new, old, old]):
            told = iter(answers)

            async def one(_: object, told: Iterator[object] = told) -> object:
                answer = next(told)
                if isinstance(answer, Exception):
                    raise answer
                return answer

            sentinels._ask_one = one  # type: ignore[assignment,method-assign]
            assert await sentinels.primary() == ("new", 2)
        await client.aclose()

    run(main())


class Everything:
    """One connection of each kind: for scripts, for a blocked command, for the bell."""

    def __init__(self, url: str) -> None:
        self.bench = Bench(url)
        self.blocking: Client = connect(url, blocking=True)
        self.heard: list[Entry] = []
        self.bell = Bell(self.blocking, self.bench.keys, lambda _, entry: self.heard.append(entry), lambda: None)

    async def moves(self, depart: Callable[[], object]) -> None:
        """Work; have the primary depart; work again, with nothing done to the clients."""
        bench = self.bench
        runs = bench.runs()
        await runs.prepare()
        ringing = asyncio.create_task(self.bell.run())
        conversation = await bench.conversation()
        await self.bell.listen(conversation)
        blocked = asyncio.create_task(self._blocked())
        await bench.say(conversation, "before", key="before")
        assert (await bench.take(runs)).turn.id
        await asyncio.to_thread(depart)
        await insist(lambda: bench.client.multiplexer.call(("SET", "test:after", 1)))
        await asyncio.wait([blocked], timeout=20)
        assert blocked.done()
        assert isinstance(blocked.exception(), exceptions.RedisError)
        await insist(lambda: self.blocking.blpop(["test:nothing"], timeout=0.01))
        await insist(lambda: bench.client.set("test:pool", 1))
        await insist(lambda: self.bell.listen(conversation))
        heard = len(self.heard)
        other = await bench.conversation()
        await self.bell.listen(other)
        await bench.say(other, "after", key="after")
        async with asyncio.timeout(20):
            while len(self.heard) == heard:
                await asyncio.sleep(0.01)
        ringing.cancel()
        await bench.client.aclose()
        await self.blocking.aclose()

    async def _blocked(self) -> None:
        await self.blocking.blpop(["test:never"], timeout=0)


def test_everything_follows_a_failover_that_was_asked_for(shape: Shape) -> None:
    old = shape.primary

    def depart() -> None:
        shape.sentinels[0].ask("FAILOVER", SERVICE)
        shape.await_failover(old)

    run(Everything(shape.url).moves(depart))


def test_everything_leaves_a_primary_that_says_nothing(shape: Shape) -> None:
    old = shape.primary

    def depart() -> None:
        os.kill(old.pid, signal.SIGSTOP)
        shape.await_failover(old)

    try:
        run(Everything(shape.url).moves(depart))
    finally:
        os.kill(old.pid, signal.SIGCONT)


@pytest.mark.parametrize("demotion", ["replica", "cut off"])
def test_a_demoted_server_is_left(demotion: str) -> None:
    """One that was named by its host: every connection is made anew, for the name may lead elsewhere by then."""

    async def main(server: Server) -> None:
        client = connect(server.url)
        shared = client.multiplexer
        mine = await shared.call(("CLIENT", "ID"))
        pooled = await client.client_id()
        if demotion == "replica":
            await client.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
        else:
            await client.config_set("min-replicas-to-write", 1)
        command = ("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "test:x")
        with pytest.raises(exceptions.ResponseError):
            await shared.call(command)
        with pytest.raises(exceptions.ResponseError):
            await client.set("test:x", 1)
        assert await shared_id(client) != mine
        assert await client.client_id() != pooled
        with pytest.raises(Unavailable, match="out of reach"):
            await Bench(server.url).conversation()
        await client.aclose()

    async def shared_id(client: Client) -> object:
        found: list[object] = []

        async def ask() -> None:
            found.append(await client.multiplexer.call(("CLIENT", "ID")))

        await insist(ask)
        return found[0]

    with running(tcp=True) as server:
        run(main(server))
