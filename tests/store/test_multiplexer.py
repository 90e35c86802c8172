"""Commands of many tasks over one link: each gets its own reply, whatever becomes of the others and of the link."""

import asyncio
import os
import signal

import pytest
from redis import exceptions

from parley.store import multiplexer
from parley.store.connect import connect
from parley.store.multiplexer import Multiplexer
from tests.redis_servers import Server, running
from tests.store.harness import run


def test_each_task_gets_its_own_reply() -> None:
    async def main() -> None:
        with running() as server:
            client = connect(server.url)
            shared = client.multiplexer

            async def echo(number: int) -> None:
                assert await shared.call(("ECHO", str(number))) == str(number).encode()

            async with asyncio.TaskGroup() as group:
                for number in range(500):
                    task = group.create_task(echo(number))
                    if number % 7 == 0:
                        group.create_task(leave(task, number))
            assert await connections(shared) == 1
            with pytest.raises(exceptions.ResponseError, match="unknown command"):
                await shared.call(("NOSUCH",))
            with pytest.raises(exceptions.NoScriptError):
                await shared.call(("EVALSHA", "0" * 40, 0))
            await client.aclose()

    async def leave(task: "asyncio.Task[None]", number: int) -> None:
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()

    run(main())


async def connections(shared: Multiplexer) -> int:
    """How many the server has, by its own word."""
    listed: bytes = await shared.call(("CLIENT", "LIST", "TYPE", "normal"))
    return len(listed.splitlines())


def test_a_lost_link_is_told_to_all_who_wait_and_made_anew() -> None:
    async def main() -> None:
        with running() as server:
            client = connect(server.url)
            shared = client.multiplexer
            await shared.call(("PING",))
            os.kill(server.pid, signal.SIGSTOP)
            waiting = [asyncio.create_task(shared.call(("ECHO", "x"))) for _ in range(9)]
            await asyncio.sleep(0)
            server.kill(signal.SIGKILL)
            found = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(each) for each in found} == {exceptions.ConnectionError}
            with pytest.raises((exceptions.ConnectionError, OSError)):
                await shared.call(("PING",))
            server.start()
            assert await shared.call(("PING",)) == b"PONG"
            await client.aclose()

    run(main())


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplexer, "COMMAND_TIMEOUT", 0.2)

    async def main() -> None:
        with running() as server:
            client = connect(server.url)
            shared = client.multiplexer
            await shared.call(("PING",))
            await stalled(server, shared)
            os.kill(server.pid, signal.SIGCONT)
            assert await shared.call(("PING",)) == b"PONG"
            await client.aclose()

    async def stalled(server: Server, shared: Multiplexer) -> None:
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(exceptions.ConnectionError):
            await asyncio.wait_for(shared.call(("PING",)), 20)

    run(main())
