"""Connecting: what is understood, how clients are set up, and which servers are refused with what words."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis

from parley.core.errors import Unavailable
from parley.store import connections
from parley.store.connect import Client, ServerInfo, check, connect, normalise, redacted, validate_prefix
from tests.faults.figures import figure
from tests.redis_servers import Server, binaries, free_port, running

every_server = pytest.mark.parametrize("name", list(binaries()))
SECRET = "s3cr3t-passw0rd"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(tcp=True) as started:
        yield started


def checked(url: str, prefix: str = "parley:") -> ServerInfo:
    async def main() -> ServerInfo:
        client = connect(url)
        try:
            return await check(client, prefix)
        finally:
            await client.aclose()

    return asyncio.run(main())


def refused(url: str, prefix: str = "parley:") -> str:
    with pytest.raises(Unavailable) as caught:
        checked(url, prefix)
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    assert SECRET not in str(caught.value.envelope())
    return text


@pytest.mark.parametrize(
    ("text", "user", "password", "url"),
    [
        ("redis://h:6380/2", "", "", "redis://h:6380/2"),
        ("rediss://u:p@h", "", "", "rediss://u:p@h"),
        ("unix:///run/redis.sock?db=1", "", "", "unix:///run/redis.sock?db=1"),
        ("h:6379", "", "", "redis://h:6379"),
        (
            "redis-1.cloud.example.com:17701",
            "default",
            "p@ss:/w",
            "redis://default:p%40ss%3A%2Fw@redis-1.cloud.example.com:17701",
        ),
        ("h", "", "only", "redis://:only@h"),
        ("[::1]:6379", "", "", "redis://[::1]:6379"),
    ],
)
def test_addresses_that_are_understood(text: str, user: str, password: str, url: str) -> None:
    assert normalise(text, user, password) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://h:6379",
        "redis://",
        "redis://:6379",
        "redis://h:port",
        "redis://h:70000",
        "redis://h:0",
        "redis://h/zero",
        "redis://h?protocol=3",
        "redis://h?socket_timeout=9",
        "unix://relative.sock",
        f"ftp://u:{SECRET}@h",
        f"redis://u:{SECRET}@h:x",
    ],
)
def test_addresses_that_are_not(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        normalise(text)
    assert SECRET not in str(caught.value)


def test_an_address_is_printed_without_its_password() -> None:
    assert redacted(f"redis://user:{SECRET}@h:1/2") == "redis://h:1/2"
    assert redacted(f"unix:///a/b.sock?db=1&password={SECRET}") == "unix:///a/b.sock?db=1"


@pytest.mark.parametrize(
    "prefix", ["", "a b", "a{b", "a}b", "a*", "a?", "a[b]", "a\n", "a\0", "\t", "x" * 65, "a\u2003b"]
)
def test_prefixes_that_are_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        validate_prefix(prefix)


@pytest.mark.parametrize("prefix", ["parley:", "shop/chat:", "müller:", "x"])
def test_prefixes_that_are_taken(prefix: str) -> None:
    assert validate_prefix(prefix) == prefix


@every_server
def test_a_good_server_is_described(name: str) -> None:
    with running(binaries()[name]) as started:
        info = checked(started.url)
    assert info.appends
    assert not info.cluster
    assert info.name == ("Valkey" if name == "valkey" else "Redis")
    assert info.version >= (6, 2)
    assert info.waits_for_disk == (info.version >= (7, 2))
    assert str(info).startswith(info.name)


def test_nothing_is_left_behind(server: Server) -> None:
    async def main() -> None:
        client = connect(server.url)
        await check(client, "parley:")
        assert await client.keys("*") == []
        await client.aclose()

    asyncio.run(main())


def test_the_tutorial_s_host_and_port(server: Server) -> None:
    assert checked(f"127.0.0.1:{server.port}").version >= (6, 2)


def test_nobody_there() -> None:
    text = refused(f"redis://u:{SECRET}@127.0.0.1:{free_port()}")
    assert "cannot be reached" in text
    assert "127.0.0.1" in text
    assert "cannot be reached" in refused("unix:///nowhere/redis.sock")


def test_a_wrong_password() -> None:
    with running(None, "--requirepass", "right", tcp=True) as started:
        assert "refused" in refused(f"redis://:{SECRET}@127.0.0.1:{started.port}")
        assert "refused" in refused(f"redis://127.0.0.1:{started.port}")
        assert checked(f"redis://:right@127.0.0.1:{started.port}").appends


def test_a_user_confined_to_the_prefix_is_enough_and_one_outside_is_refused(server: Server) -> None:
    async def make() -> None:
        client = connect(server.url)
        await client.acl_setuser(
            "confined", enabled=True, passwords=[f"+{SECRET}"], keys=["mine:*"], commands=["+info", "+set", "+del"]
        )
        await client.aclose()

    asyncio.run(make())
    url = f"redis://confined:{SECRET}@127.0.0.1:{server.port}"
    assert checked(url, "mine:").appends
    assert "theirs:*" in refused(url, "theirs:")


@every_server
def test_a_read_only_replica(name: str) -> None:
    with running(binaries()[name], "--replicaof", "127.0.0.1", "1") as started:
        assert "read-only replica: name its primary" in refused(started.url)


@every_server
def test_a_server_that_throws_data_away(name: str) -> None:
    with running(binaries()[name], "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as started:
        assert "noeviction, not allkeys-lru" in refused(started.url)
    with running(binaries()[name], "--maxmemory-policy", "allkeys-lru") as started:
        assert checked(started.url).appends  # without a limit nothing is ever thrown away
    with running(binaries()[name], "--maxmemory", "1", "--maxmemory-policy", "noeviction") as started:
        assert "is full" in refused(started.url)
    figure("F22", settings_refused=2)


def test_an_old_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def info(self: Redis) -> dict[str, object]:
        return {"redis_version": "5.0.14", "role": "master"}

    monkeypatch.setattr(Redis, "info", info)
    assert "6.2 or newer is needed" in refused(server.url)


def test_a_server_that_is_not_one(tmp_path: Path) -> None:
    async def main() -> str:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        other = await asyncio.start_server(serve, "127.0.0.1")
        client = connect(f"redis://127.0.0.1:{other.sockets[0].getsockname()[1]}")
        with pytest.raises(Unavailable) as caught:
            await check(client, "parley:")
        await client.aclose()
        other.close()
        await other.wait_closed()
        return str(caught.value)

    assert "cannot be reached" in asyncio.run(main())


def test_a_lost_reply_is_an_error_not_a_second_try(server: Server) -> None:
    """redis-py's own retries made three entries of one XADD."""

    async def main() -> None:
        async def drop_replies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                while data := await reader.read(65536):
                    upstream.write(data)
                    reply = await upstream_reader.read(65536)
                    if b"XADD" in data:
                        break
                    writer.write(reply)
            finally:
                upstream.close()
                writer.close()

        proxy = await asyncio.start_server(drop_replies, "127.0.0.1")
        lossy = connect(f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        with pytest.raises(exceptions.ConnectionError):
            await lossy.xadd("retries", {"a": "1"})
        await lossy.aclose()
        proxy.close()
        await proxy.wait_closed()
        direct = connect(server.url)
        assert await direct.xlen("retries") == 1
        await direct.delete("retries")
        await direct.aclose()

    asyncio.run(main())


def test_a_blocking_client_outwaits_the_command_timeout(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.store.connect.COMMAND_TIMEOUT", 0.2)

    async def main() -> None:
        blocking, plain = connect(server.url, blocking=True), connect(server.url)
        begin = time.monotonic()
        assert await blocking.blpop(["nothing"], timeout=0.6) is None
        assert time.monotonic() - begin >= 0.6
        with pytest.raises(exceptions.TimeoutError):
            await plain.blpop(["nothing"], timeout=0.6)
        await blocking.aclose()
        await plain.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("tcp", [False, True])
def test_a_stopped_server_is_given_up_also_where_replies_may_take_for_ever(
    tcp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection, and says nothing: plain blocking connections once waited for its handshake for ever."""
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT", 0.3)

    async def main(url: str) -> None:
        client = connect(url, blocking=True)
        with pytest.raises(exceptions.TimeoutError):
            await asyncio.wait_for(client.xread({"queue": "$"}, block=0), 10)
        await client.aclose()

    with running(tcp=tcp) as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        asyncio.run(main(stopped.url))


def test_no_more_connections_than_allowed(server: Server) -> None:
    async def main() -> None:
        client = connect(server.url, connections=3)
        await asyncio.gather(*(client.blpop(["nothing"], timeout=0.05) for _ in range(9)))
        clients = await client.client_list()
        assert len(clients) == 3
        assert {each["resp"] for each in clients if "resp" in each} <= {"2"}
        await client.aclose()

    asyncio.run(main())


def test_a_name_is_resolved_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    port, where, real = str(free_port()), ["127.0.0.1"], socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **options: Any) -> Any:
        return real(where[0] if host == "moving.test" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def main(first: Server) -> None:
        client = connect(f"redis://moving.test:{port}")
        assert await pids(client) == [first.pid] * 2
        first.kill()
        where[0] = "127.0.0.2"
        with running(None, "--bind", "127.0.0.2", "--port", port) as second:
            assert await pids(client) == [second.pid] * 2
        await client.aclose()

    async def pids(client: Client) -> list[int]:
        """Which process answers, over the pool and over the link."""
        while True:
            with contextlib.suppress(exceptions.ConnectionError):
                pooled = int((await client.info("server"))["process_id"])
                text: bytes = await client.multiplexer.call(("INFO", "server"))
                return [pooled, int(text.split(b"process_id:")[1].split()[0])]

    with running(None, "--bind", "127.0.0.1", "--port", port) as first:
        asyncio.run(main(first))
