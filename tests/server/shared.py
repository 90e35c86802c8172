"""One server in a thread of its own, for tables of requests too many to start a server for each."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

from tests.server.harness import House, house


class Answer:
    """What came back on a connection."""

    def __init__(self, data: bytes) -> None:
        self.raw = data
        head, _, self.body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split(" ")[1]) if status else 0
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code."""
        code: str = self.json["error"]["code"]
        return code


class Shared:
    """A server, from outside."""

    def __init__(self, home: House, loop: asyncio.AbstractEventLoop) -> None:
        self.home = home
        self.loop = loop
        self.port = home.served[0].port
        self.host = f"127.0.0.1:{self.port}"

    def run(self, coroutine: Any) -> Any:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def send(self, data: bytes, *, timeout: float = 30.0) -> Answer:
        """Send bytes and read until the server closes, or one whole answer stands."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as link:
            with contextlib.suppress(ConnectionError):
                link.sendall(data)
            return read_answer(link)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request with `Connection: close`; headers given as None are left out."""
        given = {"Host": self.host, "Connection": "close"}
        if body is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        given |= headers or {}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))


def read_answer(link: socket.socket) -> Answer:
    """Read one answer."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := link.recv(65536):
            data += chunk
            _, found, body = data.partition(b"\r\n\r\n")
            if found and (length := Answer(data).headers.get("content-length")) and len(body) >= int(length):
                break
    return Answer(data)


@contextlib.contextmanager
def shared(**options: Any) -> Iterator[Shared]:
    """Run a server in a thread."""
    ready: list[Shared] = []
    started = threading.Event()

    async def main() -> None:
        async with house(**options) as home:
            done = asyncio.Event()
            made = Shared(home, asyncio.get_running_loop())
            made.stop = done.set  # type: ignore[attr-defined]
            ready.append(made)
            started.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert started.wait(20)
        yield ready[0]
    finally:
        ready[0].loop.call_soon_threadsafe(ready[0].stop)  # type: ignore[attr-defined]
        thread.join(20)
