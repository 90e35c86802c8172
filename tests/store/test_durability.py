"""The barrier: what was acknowledged before it is in a synced file after it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from parley.core.errors import Unavailable
from parley.store import durability
from parley.store.connect import Client, connect
from parley.store.durability import FileBarrier, NoBarrier, ServerBarrier
from tests.redis_servers import Server, binaries, running

every_server = pytest.mark.parametrize("name", list(binaries()))


def with_server(
    name: str, main: Callable[[Server, Client], Awaitable[None]], *arguments: str, tcp: bool = False
) -> None:
    async def connected(server: Server) -> None:
        client = connect(server.url)
        try:
            await main(server, client)
        finally:
            await client.aclose()

    with running(binaries()[name], *arguments, tcp=tcp) as server:
        asyncio.run(connected(server))


def persistence(client: Client, *answers: tuple[int, int, str]) -> Callable[[], Awaitable[dict[bytes, bytes]]]:
    """The part of INFO the barrier reads, as it stands but for length of buffer, pending syncs and status."""
    real, left = FileBarrier(Path(), client)._persistence, list(answers)

    async def told() -> dict[bytes, bytes]:
        buffer, syncs, status = left.pop(0) if len(left) > 1 else left[0]
        told = {b"aof_buffer_length": b"%d" % buffer, b"aof_pending_bio_fsync": b"%d" % syncs}
        told[b"aof_last_write_status"] = status.encode()
        known = await real()
        assert set(told) <= set(known)
        return known | told

    return told


class Syncs:
    """Records what is synced, and how much of the append-only file stood in it at that moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.contents: list[bytes] = []
        real = os.fsync

        def fsync(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").resolve()
            if path.is_file():
                self.contents.append(path.read_bytes())
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)


@every_server
def test_what_was_acknowledged_is_in_the_synced_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)

    async def main(server: Server, client: Client) -> None:
        barrier = FileBarrier(server.directory, client)
        for number in range(20):
            await client.set(f"key-{number}", "x")
            assert await barrier() == "fsync"
            assert f"key-{number}\r\n".encode() in b"".join(syncs.contents)
            syncs.contents.clear()

    with_server(name, main)


@every_server
def test_a_rewrite_in_between_does_no_harm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)

    async def main(server: Server, client: Client) -> None:
        barrier = FileBarrier(server.directory, client)
        await client.set("big", "y" * 2_000_000)
        for number in range(12):
            rewriting = (await client.info("persistence"))["aof_rewrite_in_progress"]
            if number % 3 == 1 and not rewriting:
                await client.bgrewriteaof()
            await client.set(f"key-{number}", "x")
            assert await barrier() == "fsync"
            seen = b"".join(syncs.contents)
            # In an increment, or in a file that a rewrite made of everything meanwhile.
            assert f"key-{number}".encode() in seen
            syncs.contents.clear()
        while (await client.info("persistence"))["aof_rewrite_in_progress"]:
            await asyncio.sleep(0.01)
        server.restart()
        await client.connection_pool.disconnect()
        assert await client.get("key-11") == b"x"

    with_server(name, main)


@every_server
def test_calls_during_a_round_share_the_next_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(server: Server, client: Client) -> None:
        barrier = FileBarrier(server.directory, client)
        await barrier()
        rounds = 0
        release = asyncio.Event()
        real = FileBarrier._round

        async def counted(self: FileBarrier) -> tuple[durability.Durability, bytes]:
            nonlocal rounds
            rounds += 1
            await release.wait()
            return await real(self)

        monkeypatch.setattr(FileBarrier, "_round", counted)
        first = asyncio.create_task(barrier())
        while not rounds:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(barrier()) for _ in range(50)]
        gone = rest.pop()
        await asyncio.sleep(0)
        gone.cancel()  # one that gives up takes nobody with it
        release.set()
        assert await asyncio.gather(first, *rest) == ["fsync"] * 50
        assert rounds == 2

    with_server(name, main)


@every_server
def test_a_write_put_off_by_redis_is_waited_for(name: str) -> None:
    async def main(server: Server, client: Client) -> None:
        asked: list[None] = []
        told = persistence(client, (9, 1, "ok"), (0, 0, "err"), (9, 0, "ok"))

        async def counted() -> dict[bytes, bytes]:
            asked.append(None)
            return await told()

        barrier = FileBarrier(server.directory, client)
        barrier._persistence = counted  # type: ignore[method-assign]
        assert await barrier() == "fsync"
        assert len(asked) == 3

    with_server(name, main)


def test_a_disk_that_takes_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "WRITE_WAIT", 0.05)

    async def main(server: Server, client: Client) -> None:
        barrier = FileBarrier(server.directory, client)
        barrier._persistence = persistence(client, (9, 0, "err"))  # type: ignore[method-assign, assignment]
        with pytest.raises(Unavailable, match="cannot write"):
            await barrier()

    with_server(next(iter(binaries())), main)


@every_server
def test_a_server_without_append_only_file_is_refused(name: str) -> None:
    async def main(server: Server, client: Client) -> None:
        with pytest.raises(Unavailable, match="no append-only file"):
            await FileBarrier(server.directory, client)()

    with_server(name, main, "--appendonly", "no")


def test_a_dead_server_is_said_and_the_next_call_works_again() -> None:
    async def main(server: Server, client: Client) -> None:
        barrier = FileBarrier(server.directory, client)
        server.kill(signal.SIGKILL)
        with pytest.raises(Unavailable, match="cannot be synced"):
            await barrier()
        server.start()
        await client.connection_pool.disconnect()
        assert await barrier() == "fsync"

    with_server(next(iter(binaries())), main)


def test_without_a_barrier_it_is_memory() -> None:
    assert asyncio.run(NoBarrier()()) == "memory"


def info(*lines: str) -> bytes:
    """A section of INFO as it goes over the connection."""
    text = "".join(f"{line}\r\n" for line in lines)
    return f"${len(text)}\r\n{text}\r\n".encode()


class Scripted:
    """A server that says OK to everything except WAITAOF and WAIT, to which it gives the next of the answers."""

    def __init__(self, *answers: bytes, replicas: int = 0) -> None:
        self.answers = list(answers)
        self.replicas = replicas
        self.heard: list[list[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while count := await reader.readuntil(b"\r\n"):
                words = []
                for _ in range(int(count[1:])):
                    size = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                writer.write(self.answer(words))
        writer.close()

    def answer(self, words: list[bytes]) -> bytes:
        if words[0] == b"INFO":
            return info("run_id:one", f"connected_slaves:{self.replicas}")
        if words[0] == b"CLIENT":
            return b"+OK\r\n"
        self.heard.append(words)
        return self.answers.pop(0) if words[0] in (b"WAITAOF", b"WAIT") else b"+OK\r\n"


@contextlib.asynccontextmanager
async def scripted(double: Scripted, *, disk: bool) -> AsyncIterator[ServerBarrier]:
    server = await asyncio.start_server(double.serve, "127.0.0.1")
    client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    yield ServerBarrier(client, "parley:durable", disk=disk, timeout=1.5)
    await client.aclose()
    server.close()
    await server.wait_closed()


def test_the_disk_is_asked_behind_a_write_of_its_own() -> None:
    async def main() -> None:
        refusal = b"-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n"
        double = Scripted(b"*2\r\n:1\r\n:0\r\n", b"*2\r\n:0\r\n:0\r\n", refusal)
        async with scripted(double, disk=True) as barrier:
            assert await barrier() == "fsync"
            assert await barrier() == "memory"
            with pytest.raises(Unavailable):
                await barrier()
        assert double.heard[:2] == [
            [b"SET", b"parley:durable", b"1", b"EX", b"60"],
            [b"WAITAOF", b"1", b"0", b"1500"],
        ]

    asyncio.run(main())


def test_replicas_are_asked_as_soon_as_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        double = Scripted(b":1\r\n", b":0\r\n", b"-NOPERM this user has no permissions\r\n")
        async with scripted(double, disk=False) as barrier:
            assert await barrier() == "memory"
            assert double.heard == []
            double.replicas = 1
            assert await barrier() == "memory"  # it was asked a moment ago
            monkeypatch.setattr(durability, "ASK_EVERY", 0.0)
            assert [await barrier() for _ in range(3)] == ["replicated", "memory", "memory"]
        assert double.heard[:2] == [[b"SET", b"parley:durable", b"1", b"EX", b"60"], [b"WAIT", b"1", b"1500"]]

    asyncio.run(main())


@every_server
def test_servers_that_know_of_their_disk_and_those_that_do_not(name: str) -> None:
    async def main(server: Server, client: Client) -> None:
        version = (await client.info("server"))["redis_version"]
        if tuple(map(int, version.split("."))) < (7, 2):
            with pytest.raises(Unavailable):
                await ServerBarrier(client, "parley:durable", disk=True)()
            assert await ServerBarrier(client, "parley:durable", disk=False)() == "memory"
        else:
            assert await ServerBarrier(client, "parley:durable", disk=True)() == "fsync"

    with_server(name, main)


@every_server
def test_a_replica_that_has_it_is_told_of(name: str) -> None:
    async def main(server: Server, client: Client) -> None:
        with running(binaries()[name], "--replicaof", "127.0.0.1", str(server.port)) as replica:
            other = connect(replica.url)
            while (await other.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.01)
            barrier = ServerBarrier(client, "parley:durable", disk=False, timeout=20)
            await client.multiplexer.call(("SET", "key", "x"))
            assert await barrier() == "replicated"
            assert await other.get("key") == b"x"
            await other.aclose()

    with_server(name, main, "--repl-diskless-sync-delay", "0", tcp=True)


@every_server
def test_nobody_vouches_for_what_another_run_of_the_server_acknowledged(name: str) -> None:
    """After a restart or a failover the server may have lost it, and would still say that all it has is on disk."""

    async def main(server: Server, client: Client) -> None:
        barrier = FileBarrier(server.directory, client)
        await client.multiplexer.call(("SET", "key", "x"))
        await asyncio.to_thread(server.restart)
        assert await barrier() == "memory"
        assert await barrier() == "fsync"

    with_server(name, main)
