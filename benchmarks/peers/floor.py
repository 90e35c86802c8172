"""The floor: what a durable relay costs in Python when it can do nothing else.

    UPSTREAM=http://… REDIS_URL=redis://… PORT=… python floor.py

A web process takes a request for a chat completion, a worker process asks the upstream, adds every batch of bytes to a
Redis log and publishes it, and the web process passes it on. Raw protocols on uvloop, hiredis, bytes untouched: no
JSON, no framework, no resume, no retry, no takeover, no error handling. Nothing one would run; only a measure of what
the rest costs.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import hiredis
import uvloop

UPSTREAM = urlsplit(os.environ["UPSTREAM"])
REDIS = urlsplit(os.environ["REDIS_URL"])
END = b"0\r\n\r\n"


class Redis(asyncio.Protocol):
    """A connection; commands are sent as they come, replies go to `heard`."""

    def __init__(self, heard: Callable[[Any], None]) -> None:
        self._heard = heard
        self._reader = hiredis.Reader()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, *commands: tuple[bytes, ...]) -> None:
        self._transport.write(b"".join(hiredis.pack_command(command) for command in commands))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._heard(reply)


class Asked(asyncio.Protocol):
    """A connection to the upstream: its answer's bytes, into the log and onto the channel."""

    def __init__(self, redis: Redis, name: bytes, request: bytes) -> None:
        self._redis = redis
        self._name = name
        self._request = request

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._redis.send((b"XADD", self._name, b"*", b"d", data), (b"PUBLISH", self._name, data))
        if data.endswith(END):
            self._transport.close()


class Client(asyncio.Protocol):
    """A client's connection: one request, then another."""

    clients: ClassVar[dict[bytes, "Client"]] = {}
    count = 0

    def __init__(self, redis: Redis, jobs: Redis) -> None:
        self._redis = redis
        self._jobs = jobs
        self._data = b""
        self._name = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, _, body = self._data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if not length:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            self._data = b""
        if not length or len(body) < length:
            return
        Client.count += 1
        self._name = b"log:%d" % Client.count
        Client.clients[self._name] = self
        self._redis.send((b"SUBSCRIBE", self._name))
        self._jobs.send((b"XADD", b"jobs", b"*", b"n", self._name, b"r", self._data))
        self._data = b""

    def hear(self, data: bytes) -> None:
        self._transport.write(data)
        if data.endswith(END):
            self._redis.send((b"UNSUBSCRIBE", self._name))
            del Client.clients[self._name]


async def connect(heard: Callable[[Any], None]) -> Redis:
    loop = asyncio.get_running_loop()
    _, redis = await loop.create_connection(lambda: Redis(heard), REDIS.hostname, REDIS.port)
    return redis


async def web() -> None:
    def heard(reply: Any) -> None:
        if reply[0] == b"message" and (client := Client.clients.get(reply[1])):
            client.hear(reply[2])

    redis, jobs = await connect(heard), await connect(lambda _: None)
    jobs.send((b"CONFIG", b"SET", b"appendonly", b"yes"))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(redis, jobs), "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()


async def work() -> None:
    loop = asyncio.get_running_loop()
    out = await connect(lambda _: None)
    opening: set[asyncio.Task[Any]] = set()

    def listen(last: bytes) -> None:
        jobs.send((b"XREAD", b"BLOCK", b"0", b"STREAMS", b"jobs", last))

    def heard(reply: Any) -> None:
        entries = reply[0][1]
        for _, (_, name, _, request) in entries:
            asked = partial(Asked, out, name, request)
            task = loop.create_task(loop.create_connection(asked, UPSTREAM.hostname, UPSTREAM.port))
            opening.add(task)
            task.add_done_callback(opening.discard)
        listen(entries[-1][0])

    jobs = await connect(heard)
    listen(b"0")
    await loop.create_future()


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        uvloop.run(work())
    else:
        with subprocess.Popen([sys.executable, __file__, "work"]):
            uvloop.run(web())
