"""F17, F21, F23, F24, F31: Redis loses what it had, has no room for more, or is told to forget."""

import asyncio
import contextlib
import functools
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from parley import AsyncClient
from parley.core.errors import Unavailable
from parley.core.limits import Timing
from parley.worker import worker as workers
from tests.faults.catalogue import LONG
from tests.faults.figures import figure
from tests.redis_servers import Server, binaries, running
from tests.server.harness import House
from tests.store.harness import Bench, run
from tests.worker.test_worker import Crew

every_server = pytest.mark.parametrize("name", list(binaries()))


def counted(word: str, count: int) -> str:
    """What the model says to `word count`."""
    return "".join(f"{word}:{at} " for at in range(count))


@contextlib.asynccontextmanager
async def parley(server: Server, *, lease: float = 2.0) -> AsyncIterator[tuple[House, Crew]]:
    """A web server and a worker on a Redis, all in this process."""
    bench = Bench(server.url, timing=Timing(lease=lease, scan=0.1))
    async with aiohttp.ClientSession() as http:
        house, crew = House(bench, http, server), Crew(bench)
        crew.start("a")
        try:
            await house.serve()
            yield house, crew
        finally:
            await house.close()
            await crew.stop("a")
            await bench.client.aclose()


def appended(server: Server) -> Path:
    """The file that is appended to."""
    several = sorted(server.directory.glob("appendonlydir/*.incr.aof"))
    return several[-1] if several else server.directory / "appendonly.aof"


async def set_back(server: Server, size: int) -> int:
    """Kill Redis, cut what it appended behind `size` bytes, start it again. Replies how many bytes were lost."""

    def cut() -> int:
        server.kill()
        lost = appended(server).stat().st_size - size
        os.truncate(appended(server), size)
        server.start()
        return lost

    return await asyncio.to_thread(cut)


@every_server
def test_clients_say_again_what_redis_lost(name: str) -> None:
    """In mid-reply, and a moment after its end."""

    async def main() -> None:
        with running(binaries()[name]) as server:
            async with parley(server) as (house, crew), AsyncClient(house.served[0].url) as client:
                conversation = (await client.create(model="counting")).id
                lost = []
                for word, length in (("mid", 100), ("end", 0)):
                    before = appended(server).stat().st_size
                    reply = client.say(conversation, f"{word} 60")
                    await reply.accepted()
                    if length:
                        await crew.text(conversation, reply.turn, length)
                    else:
                        await reply
                    lost.append(await set_back(server, before))
                    assert (await reply).text == counted(word, 60)

                    async def stands(turn: str = reply.turn, whole: str = counted(word, 60)) -> bool:
                        with contextlib.suppress(Unavailable):
                            found = await house.bench.conversations.turn(conversation, turn)
                            return bool(found and found[0].outcome and found[0].outcome.body == whole)
                        return False

                    while not await stands():
                        await asyncio.sleep(0.02)
                turns = await client.history(conversation)
                assert [turn.text for turn in turns] == [counted("mid", 60), counted("end", 60)]
                figure("F17", bytes_lost=sum(lost), said_again=len(lost), turns=len(turns))

    run(main())


@every_server
def test_out_of_memory_in_mid_reply(name: str) -> None:
    async def main() -> None:
        with running(binaries()[name]) as server:
            async with parley(server) as (house, crew):
                conversation = await house.conversation(model="counting")
                receipt = await house.say(conversation, "x 80")
                await crew.text(conversation, receipt["turn"], 100)
                await house.bench.client.config_set("maxmemory", "1")
                path = f"/api/conversations/{conversation}/turns"
                refused = await house.call("POST", path, {"input": "no room"}, expect=503)
                assert refused["error"]["code"] == "storage_full"
                # While there is no room: the end of a reply frees some first.
                view = await crew.ended(conversation, receipt["turn"])
                assert view.turns[receipt["turn"]].body.decode() == counted("x", 80)
                await house.bench.client.config_set("maxmemory", "0")
                again = await house.say(conversation, "y 3")
                assert (await crew.ended(conversation, again["turn"])).takeovers == 0
                figure("F21", refused=1, ended_while_full=1)

    run(main())


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A disk of its own for what the block keeps in temporary directories; raises `CalledProcessError` if that is not
    allowed.
    """
    with tempfile.TemporaryDirectory(prefix="disk-") as path:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path], check=True, capture_output=True
        )
        usual = tempfile.tempdir
        tempfile.tempdir = path
        try:
            yield Path(path)
        finally:
            tempfile.tempdir = usual
            subprocess.run(["umount", "--lazy", path], check=True)


@functools.cache
def may_mount() -> bool:
    """Whether we may have a disk of our own."""
    with contextlib.suppress(subprocess.CalledProcessError, OSError), small_disk(1):
        return True
    return False


class FullDisk:
    """The disk that a server keeps its file on, and something else that fills it."""

    name = "a full tmpfs"

    def __init__(self, server: Server) -> None:
        self._filling = server.directory.parent / "filling"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._filling.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def clear(self) -> None:
        self._filling.unlink()


class ShortFile:
    """The file that a server appends to may not grow, which it is told as it is told of a full disk."""

    name = "a file at its limit"

    def __init__(self, server: Server) -> None:
        self._server = server

    def fill(self) -> None:
        self._limit(appended(self._server).stat().st_size)

    def clear(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, most: int) -> None:
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@contextlib.contextmanager
def limited(name: str, tmp_path: Path) -> Iterator[tuple[Server, FullDisk | ShortFile]]:
    """A server that can be kept from writing: on a disk of its own, and where we may not mount one, by a limit."""
    with contextlib.ExitStack() as stack:
        if may_mount():
            stack.enter_context(small_disk(16))
            server = stack.enter_context(running(binaries()[name]))
            yield server, FullDisk(server)
        else:
            # It is told when its file may not grow, instead of being killed for it.
            careful = tmp_path / "redis-server"
            careful.write_text(f'#!/bin/sh\ntrap "" XFSZ\nexec {binaries()[name]} "$@"\n')
            careful.chmod(0o755)
            server = stack.enter_context(running(careful))
            yield server, ShortFile(server)


@every_server
def test_a_disk_that_takes_no_more(name: str, tmp_path: Path) -> None:
    async def main(server: Server, room: FullDisk | ShortFile) -> None:
        async with parley(server) as (house, crew):
            conversation = await house.conversation(model="counting")
            receipt = await house.say(conversation, "x 150")
            await crew.text(conversation, receipt["turn"], 100)
            room.fill()
            began = time.monotonic()
            path = f"/api/conversations/{conversation}/turns"
            await until_refused(house, path)
            refused = time.monotonic() - began
            # What stands can be read, and the worker neither gives the turn up nor anybody takes it over.
            shown = await house.call("GET", f"/api/conversations/{conversation}")
            assert shown["turns"][0]["status"] == "in_progress"
            await asyncio.sleep(2 * house.bench.timing.lease)
            began = time.monotonic()
            room.clear()
            view = await crew.ended(conversation, receipt["turn"], seconds=40)
            went_on = time.monotonic() - began
            assert view.turns[receipt["turn"]].body.decode() == counted("x", 150)
            assert (view.takeovers, view.turns[receipt["turn"]].rewinds) == (0, 0)
            again = await house.say(conversation, "y 3")
            assert (await crew.ended(conversation, again["turn"])).turns[again["turn"]].status == "completed"
            figure("F23", what=room.name, refused_after_s=refused, went_on_s=went_on)

    with limited(name, tmp_path) as (server, room):
        run(main(server, room))


async def until_refused(house: House, path: str) -> None:
    """Post until it is refused, which must be for the disk."""
    number = 0
    while True:
        number += 1
        url, key = house.served[0].url + path, {"Idempotency-Key": f"k{number}"}
        async with house.http.post(url, json={"input": "z 1"}, headers=key) as answer:
            if answer.status != 202:
                assert answer.status == 503, await answer.text()
                assert (await answer.json())["error"]["code"] == "storage_unavailable"
                assert int(answer.headers["Retry-After"]) >= 1
                return


@every_server
def test_scripts_forgotten_in_mid_reply(name: str) -> None:
    async def main() -> None:
        with running(binaries()[name]) as server:
            async with parley(server) as (house, crew):
                names = [await house.conversation(model="counting") for _ in range(3)]
                said = [(name, (await house.say(name, "x 60"))["turn"]) for name in names]
                ended = asyncio.gather(*(crew.ended(*each) for each in said))
                flushes = 0
                while not ended.done():
                    await house.bench.client.script_flush()
                    flushes += 1
                    await asyncio.sleep(0.02)
                for (_, turn), view in zip(said, await ended, strict=True):
                    assert view.turns[turn].body.decode() == counted("x", 60)
                    assert (view.takeovers, view.turns[turn].rewinds) == (0, 0)
                figure("F24", flushes=flushes)

    run(main())


HARM = ("the queue is deleted", "its group is destroyed", "its consumer is deleted", "the token is deleted")


async def harm(bench: Bench, what: str) -> None:
    """What an operator may do."""
    queue = bench.keys.queue("00").decode()
    match what:
        case "the queue is deleted":
            await bench.client.delete(queue)
        case "its group is destroyed":
            await bench.client.xgroup_destroy(queue, "w")
        case "its consumer is deleted":
            await bench.client.xgroup_delconsumer(queue, "w", "dead")
        case "the token is deleted":
            entries: list[Any] = await bench.client.xrange(queue) or []
            for token, _ in entries:
                await bench.client.xdel(queue, token)


@every_server
@pytest.mark.parametrize("what", HARM)
def test_what_is_taken_from_the_queues_is_put_back(name: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that a dead worker holds, one that waits, and one that runs all the while."""
    if not LONG:
        monkeypatch.setattr(workers, "AUDIT_EVERY", 1.0)

    async def main() -> None:
        with running(binaries()[name]) as server:
            bench = Bench(server.url, timing=Timing(lease=2.0, scan=0.1))
            crew = Crew(bench)
            await bench.runs("dead").prepare()
            held, waiting = await bench.conversation(model="counting"), await bench.conversation(model="counting")
            first = await bench.say(held, "held 3")
            await bench.take(bench.runs("dead"))
            second = await bench.say(waiting, "waiting 3")
            await harm(bench, what)
            began = time.monotonic()
            crew.start("a")
            for conversation, turn, word in ((held, first.turn, "held"), (waiting, second.turn, "waiting")):
                view = await crew.ended(conversation, turn, seconds=60)
                assert view.turns[turn].body.decode() == counted(word, 3)
            repaired = time.monotonic() - began
            long = await bench.say(held, "long 150")
            await crew.text(held, long.turn, 50)
            await harm(bench, what)
            view = await crew.ended(held, long.turn, seconds=60)
            assert view.turns[long.turn].body.decode() == counted("long", 150)
            figure("F31", answered_s=repaired, audit_every_s=workers.AUDIT_EVERY)
            await crew.stop("a")
            await bench.client.aclose()

    run(main())
