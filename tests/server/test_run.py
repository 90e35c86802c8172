"""Starting and going: addresses that are refused, inherited sockets, signals."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest

from parley.core.errors import Unavailable
from parley.models.secret import Secret
from parley.server import run
from parley.server.config import Config
from tests.server.harness import Served, house
from tests.store import harness


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.com", ""])
def test_no_open_door_without_a_key(host: str) -> None:
    """X10"""
    with pytest.raises(Unavailable) as refused:
        run.listen(Config(host=host, port=0))
    assert refused.value.code == "access_key_required"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9"])
def test_loopback_needs_none(host: str) -> None:
    run.listen(Config(host=host, port=0)).close()


def test_a_key_opens_the_door() -> None:
    run.listen(Config(host="0.0.0.0", port=0, access_key=Secret("k"))).close()


def test_an_address_in_use_is_named() -> None:
    with run.listen(Config(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            run.listen(Config(port=port))


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(Unavailable, match=r"nowhere\.invalid"):
        run.listen(Config(host="nowhere.invalid", port=0, access_key=Secret("k")))


def test_nothing_waits_for_what_was_sent_before_to_be_acknowledged() -> None:
    """Under the plain event loop too: there the head and the body of an answer are two packets, 40 ms apart."""

    async def main() -> None:
        async with house() as home, home.http.get(home.served[0].url + "/healthz"):
            (link,) = home.served[0].server.server_state.connections
            inherited = link.transport.get_extra_info("socket")
            assert inherited.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert inherited.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * run.SEND_BYTES

    harness.run(main())


@contextmanager
def process(url: str, listener: socket.socket) -> Iterator["subprocess.Popen[bytes]"]:
    """A server process on an inherited socket."""
    command = [sys.executable, "-m", "tests.server.process", url, str(listener.fileno())]
    started = subprocess.Popen(command, pass_fds=[listener.fileno()])
    try:
        yield started
    finally:
        started.kill()
        started.wait(10)


def served(listener: socket.socket) -> Served:
    """How to reach it."""

    async def nothing() -> None:
        return

    port: int = listener.getsockname()[1]
    task = asyncio.ensure_future(nothing())
    return Served(None, port, task)  # type: ignore[arg-type]


def test_a_server_goes_without_breaking_anything_off() -> None:
    """Told to go, it sends its clients to its successor on the same socket; nobody is refused, nothing is lost."""

    async def main() -> None:
        async with house(servers=0) as home:
            with run.listen(Config(port=0)) as listener:
                with process(home.bench.url, listener) as going:
                    there = served(listener)
                    home.served.append(there)
                    name = await home.conversation(title="x")
                    path = f"/api/conversations/{name}/events"
                    async with home.socket(there) as line, home.events(path) as stream:
                        await line.send(type="follow", conversation=name)
                        cursor = (await line.expect("snapshot"))["cursor"]
                        await stream.event()
                        going.send_signal(signal.SIGTERM)
                        assert (await line.expect("bye"))["reason"] == "restart"
                        assert await line.closed() == 1012
                        assert [each["type"] for each in await stream.all()] == ["bye"]
                    assert await asyncio.to_thread(going.wait, 10) == 0
                with process(home.bench.url, listener):
                    # Connections wait in the socket's queue until the successor takes them.
                    async with aiohttp.ClientSession() as http, http.get(there.url + "/readyz") as answer:
                        assert answer.status == 200
                    async with home.socket(there) as line:
                        await line.send(type="follow", conversation=name, after=cursor)
                        await line.expect("following")
                home.served.clear()

    harness.run(main())


def test_a_request_under_way_is_finished() -> None:
    async def main() -> None:
        async with house(servers=0) as home:
            with run.listen(Config(port=0)) as listener, process(home.bench.url, listener) as going:
                there = served(listener)
                reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
                head = f"POST /api/conversations HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nContent-Length: 14\r\n"
                writer.write(f'{head}Content-Type: application/json\r\n\r\n{{"title"'.encode())
                async with home.http.get(there.url + "/healthz") as answer:
                    assert answer.status == 200
                going.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.5)
                writer.write(b':"lt"}')
                answered = await asyncio.wait_for(reader.read(), 10)
                assert answered.startswith(b"HTTP/1.1 201")
                assert b'"title":"lt"' in answered
                writer.close()
                assert await asyncio.to_thread(going.wait, 10) == 0

    harness.run(main())


def test_a_second_signal_ends_at_once() -> None:
    async def main() -> None:
        async with house(servers=0) as home:
            with run.listen(Config(port=0)) as listener, process(home.bench.url, listener) as going:
                there = served(listener)
                _, writer = await asyncio.open_connection("127.0.0.1", there.port)
                writer.write(b"POST /api/conversations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n")
                writer.write(b"Content-Type: application/json\r\n\r\n")
                async with home.http.get(there.url + "/healthz") as answer:
                    assert answer.status == 200
                began = asyncio.get_running_loop().time()
                going.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.4)
                assert going.poll() is None
                going.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(going.wait, 10) == 0
                assert asyncio.get_running_loop().time() - began < 5
                writer.close()

    harness.run(main())
