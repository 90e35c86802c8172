"""The barrier: what was acknowledged before it is in a synced file after it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from parley.core.errors import Unavailable
from parley.store import durability
from parley.store.connect import Client, connect
from parley.store.durability import FileBarrier, NoBarrier, WaitAof
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

        async def counted(self: FileBarrier) -> durability.Durability:
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


class Scripted:
    """A server that says OK to everything except WAITAOF, to which it gives the next of the answers."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heard: list[list[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while count := await reader.readuntil(b"\r\n"):
                words = []
                for _ in range(int(count[1:])):
                    size = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                if words[0] != b"CLIENT":
                    self.heard.append(words)
                writer.write(self.answers.pop(0) if words[0] == b"WAITAOF" else b"+OK\r\n")
        writer.close()


def test_waitaof_asks_behind_a_write_of_its_own() -> None:
    async def main() -> None:
        refusal = b"-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n"
        scripted = Scripted(b"*2\r\n:1\r\n:0\r\n", b"*2\r\n:0\r\n:0\r\n", refusal)
        server = await asyncio.start_server(scripted.serve, "127.0.0.1")
        client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        barrier = WaitAof(client, "parley:durable", timeout=1.5)
        assert await barrier() == "fsync"
        assert await barrier() == "memory"
        with pytest.raises(Unavailable):
            await barrier()
        assert scripted.heard[:2] == [
            [b"SET", b"parley:durable", b"1", b"EX", b"60"],
            [b"WAITAOF", b"1", b"0", b"1500"],
        ]
        await client.aclose()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


@every_server
def test_waitaof_on_servers_that_know_it_and_those_that_do_not(name: str) -> None:
    async def main(server: Server, client: Client) -> None:
        barrier = WaitAof(client, "parley:durable")
        version = (await client.info("server"))["redis_version"]
        if tuple(map(int, version.split("."))) < (7, 2):
            with pytest.raises(Unavailable):
                await barrier()
        else:
            assert await barrier() == "fsync"

    with_server(name, main)
