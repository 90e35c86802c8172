"""The relay: an answer on its way down the socket of a streamer, as its readers can take it.

One connection. First ``{"state": ...}`` alone, if there is one; then ``{"output": text}`` with text that is never
empty; finally ``{}``. Objects are ASCII, at most `SIZE` bytes, one a send, at least `PAUSE` apart: the streamer reads
into one buffer that it reuses, and its readers parse what one read gave them. Whoever writes here never waits for the
socket, and when the reader goes away only the relay ends.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

SIZE = 2048
PAUSE = 0.03
CONNECT_TIMEOUT = 5.0
# A reader that takes nothing for so long has gone away.
SEND_TIMEOUT = 10.0


class Relay:
    """To be used as a context manager; leaving it waits until everything was sent, or nobody reads any more."""

    def __init__(self, host: str, port: int, state: str = "") -> None:
        self._address = (host, port)
        self._first = _encoded(state=state) if state else b""
        self._changed = threading.Condition()
        self._waiting = ""
        self._done = False
        self._thread = threading.Thread(target=self._run, name="parley relay", daemon=True)
        # Whether the whole answer was handed to the network.
        self.delivered = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._done = True
            self._changed.notify()
        self._thread.join()

    def write(self, text: str) -> None:
        """Send this text soon."""
        with self._changed:
            self._waiting += text
            self._changed.notify()

    def _run(self) -> None:
        try:
            with socket.create_connection(self._address, CONNECT_TIMEOUT) as link:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.settimeout(SEND_TIMEOUT)
                for number, data in enumerate(self._objects()):
                    time.sleep(PAUSE if number else 0)
                    link.sendall(data)
                self.delivered = True
        except OSError:
            return

    def _objects(self) -> Iterator[bytes]:
        if self._first:
            yield self._first
        while text := self._gathered():
            for part in split(text):
                yield _encoded(output=part)
        yield b"{}"

    def _gathered(self) -> str:
        """What has gathered, as soon as there is something; empty: that was all."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._done)
            text, self._waiting = self._waiting, ""
            return text


def split(text: str) -> Iterator[str]:
    """Cut a text so that each part's object has at most `SIZE` bytes."""
    room = SIZE - len(_encoded(output=""))
    begin = size = 0
    for at, character in enumerate(text):
        cost = len(json.dumps(character)) - 2
        if size + cost > room:
            yield text[begin:at]
            begin, size = at, 0
        size += cost
    if begin < len(text):
        yield text[begin:]


def _encoded(**fields: str) -> bytes:
    return json.dumps(fields).encode("ascii")
