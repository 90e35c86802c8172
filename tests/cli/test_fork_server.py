"""The fork server with real processes: what it forks is like a new process, and is heard of to its end."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from parley.cli import supervisor
from parley.cli.nursery import Forked, Nursery
from parley.cli.part import FORK_SERVER, Part, parley
from parley.cli.supervisor import Supervisor
from tests.system.deployment import children, command_line

# A worker that looks for its Redis, for half a minute.
WORK = parley("work", "--redis", "redis://127.0.0.1:1", "--model-url", "http://127.0.0.1:1", "--model", "m")


@contextlib.asynccontextmanager
async def fork_server(nursery: Nursery) -> AsyncIterator[asyncio.subprocess.Process]:
    """A fork server for a nursery; it ends with the link."""
    ours, theirs = socket.socketpair()
    with theirs:
        number = theirs.fileno()
        process = await asyncio.create_subprocess_exec(*FORK_SERVER, str(number), pass_fds=[number])
    try:
        await nursery.open(ours)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await work

    asyncio.run(limited())


async def until(condition: Any, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def signals(pid: int) -> dict[str, str]:
    """What a worker blocks, ignores and handles, once it handles SIGTERM."""
    found: dict[str, str] = {}

    def settled() -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        for line in lines:
            if line.startswith(("SigBlk", "SigIgn", "SigCgt")):
                found[line[:6]] = line[8:]
        return int(found["SigCgt"], 16) & 1 << signal.SIGTERM - 1

    await until(settled)
    return found


async def working(nursery: Nursery) -> Forked:
    """A worker that is forked, and bears its name from the first."""
    worker = await nursery.fork(WORK)
    assert command_line(worker.pid) == " ".join(WORK)
    return worker


def test_an_end_is_told_as_it_was() -> None:
    async def main() -> None:
        nursery = Nursery(Part("fork server", FORK_SERVER))
        async with fork_server(nursery):
            done, unusable = await nursery.fork(parley("version")), await nursery.fork(parley("nonsense"))
            assert (done.returncode, await done.wait(), done.returncode) == (None, 0, 0)
            assert await unusable.wait() == 2
            for number in (signal.SIGKILL, signal.SIGUSR1):
                worker = await working(nursery)
                worker.send_signal(number)
                worker.send_signal(number)  # it may have ended meanwhile
                assert await worker.wait() == -number
                worker.kill()

    run(main())


def test_it_is_like_a_new_process() -> None:
    async def main() -> None:
        nursery = Nursery(Part("fork server", FORK_SERVER))
        async with fork_server(nursery) as server:
            other, worker = await working(nursery), await working(nursery)
            assert os.getsid(worker.pid) == worker.pid
            assert children(server.pid) == [other.pid, worker.pid]
            new = await asyncio.create_subprocess_exec(*WORK)
            try:
                assert await signals(worker.pid) == await signals(new.pid)
            finally:
                new.kill()
                await new.wait()

            def sockets(pid: int) -> set[str]:
                found = set()
                for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):  # it was closed meanwhile
                        found.add(os.readlink(descriptor))
                return {each for each in found if each.startswith("socket:")}

            assert not sockets(worker.pid) & (sockets(server.pid) | sockets(other.pid))

    run(main())


def test_a_worker_that_waits_for_its_store_leaves_when_it_is_told() -> None:
    async def main() -> None:
        nursery = Nursery(Part("fork server", FORK_SERVER))
        async with fork_server(nursery):
            for number in (signal.SIGTERM, signal.SIGINT):
                worker = await working(nursery)
                await signals(worker.pid)
                worker.send_signal(number)
                assert await worker.wait() == 0

    run(main())


def test_what_service_managers_send_to_everybody_does_not_end_it() -> None:
    """The end of a worker that still hands a reply over would not be told: its Redis would be taken from it."""

    async def main() -> None:
        nursery = Nursery(Part("fork server", FORK_SERVER))
        async with fork_server(nursery) as server:
            worker = await working(nursery)
            for number in (signal.SIGTERM, signal.SIGINT):
                server.send_signal(number)
            worker.kill()
            assert await worker.wait() == -signal.SIGKILL
            assert await (await nursery.fork(parley("version"))).wait() == 0
            assert server.returncode is None

    run(main())


def test_what_it_forked_goes_with_it_and_who_asks_waits_for_another() -> None:
    async def main() -> None:
        nursery = Nursery(Part("fork server", FORK_SERVER))
        async with fork_server(nursery) as server:
            worker = await working(nursery)
            server.send_signal(signal.SIGSTOP)
            asked = asyncio.create_task(nursery.fork(parley("version")))
            await asyncio.sleep(0)  # it is asked for
            server.kill()
            assert await worker.wait() == -signal.SIGTERM
            await until(lambda: not command_line(worker.pid))
            assert not asked.done()
        async with fork_server(nursery):
            assert await (await asked).wait() == 0

    run(main())


def test_it_ends_when_the_other_side_closes() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            process = await asyncio.create_subprocess_exec(*FORK_SERVER, str(number), pass_fds=[number])
        ours.close()
        assert await process.wait() == 0

    run(main())


def test_one_that_nobody_waits_for_any_more_is_killed() -> None:
    async def main() -> None:
        nursery = Nursery(Part("fork server", FORK_SERVER))
        async with fork_server(nursery) as server:
            await working(nursery)
            asked = asyncio.create_task(nursery.fork(WORK))
            await asyncio.sleep(0)  # it is asked for
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await (await nursery.fork(parley("version"))).wait()
            await until(lambda: len(children(server.pid)) == 1)

    run(main())


def test_a_supervisor_kills_one_that_will_not_leave_and_has_it_buried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LEAVE_WAIT", 0.5)
    monkeypatch.setattr(supervisor, "BURIAL_WAIT", 20.0)

    async def main() -> None:
        nursery = Nursery(Part("fork server", FORK_SERVER))
        buried = []

        async def bury(consumer: str) -> None:
            assert await (await nursery.fork(parley("version"))).wait() == 0
            buried.append(consumer)

        started = asyncio.Event()

        async def start() -> None:
            started.set()

        worker = Part("worker", WORK, forked=True)
        keeping = asyncio.create_task(Supervisor(None, [], [worker], bury, start, nursery).run())
        await started.wait()
        (stubborn,) = [pid for pid in children(os.getpid()) if command_line(pid).startswith(" ".join(WORK))]
        os.kill(stubborn, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await keeping == 0
        assert not command_line(stubborn)
        assert len(buried) == 1

    run(main())
