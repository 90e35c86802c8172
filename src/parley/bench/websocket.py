"""A WebSocket (RFC 6455) for the load client, on a bare protocol: what a server sends to a client is not masked."""

import asyncio
import base64
import os
import struct
from collections.abc import Callable
from typing import Any, Self, cast

from parley.bench.http import RECEIVED, Failed, Origin

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

OnText = Callable[[bytes], None]


class WebSocket(asyncio.Protocol):
    """One socket. Every text message is given to `on_text`; what that raises, and the end, is `lost`."""

    def __init__(self) -> None:
        self.on_text: OnText = lambda _: None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._upgraded = False
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, origin: Origin, path: str) -> Self:
        """Connect and upgrade. Raises `Failed`."""
        _, socket = await origin.connect(cls)
        assert isinstance(socket, cls)
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        socket._transport.write(origin.head("GET", path, headers | {"sec-websocket-key": key}))
        await socket._opened
        return socket

    def send(self, text: bytes) -> None:
        """Send a text message."""
        self._frame(TEXT, text)

    async def until(self, done: "asyncio.Future[Any]") -> None:
        """Wait for something that comes over the socket. Raises what ended either first."""
        await asyncio.wait((done, self.lost), return_when=asyncio.FIRST_COMPLETED)
        (done if done.done() else self.lost).result()

    def close(self) -> None:
        """Say good-bye and close."""
        if not self._transport.is_closing():
            self._frame(CLOSE, struct.pack("!H", 1000))
            self._transport.close()

    def _frame(self, kind: int, payload: bytes) -> None:
        size, mask = len(payload), os.urandom(4)
        if size < 126:
            head = struct.pack("!BB", 0x80 | kind, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, size)
        # The mask over all of it at once, as whole numbers.
        wide = int.from_bytes((mask * (size // 4 + 1))[:size], "big") ^ int.from_bytes(payload, "big")
        self._transport.write(head + mask + wide.to_bytes(size, "big"))

    # The connection's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._fail(Failed("the server closed the socket"))

    def data_received(self, data: bytes) -> None:
        RECEIVED[0] += len(data)
        self._buffer += data
        try:
            if not self._upgraded and not self._upgrade():
                return
            self._read()
        except Exception as error:
            self._fail(error)
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        for future in (self._opened, self.lost):
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody may be waiting

    def _upgrade(self) -> bool:
        head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return False
        status = int(head[9:12])
        if status != 101:
            raise Failed(f"the server refused the socket: {status}", status)
        self._buffer = bytearray(rest)
        self._upgraded = True
        self._opened.set_result(None)
        return True

    def _read(self) -> None:
        """Take every whole frame out of the buffer."""
        data, at, end = self._buffer, 0, len(self._buffer)
        while end - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                if end - at < 4:
                    break
                size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                if end - at < 10:
                    break
                size, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if end - begin < size:
                break
            first = data[at]
            at = begin + size
            self._take(first, bytes(data[begin:at]))
        del data[:at]

    def _take(self, first: int, payload: bytes) -> None:
        kind, last = first & 0x0F, first & 0x80
        if kind == PING:
            self._frame(PONG, payload)
        elif kind == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            raise Failed(f"the server closed the socket: {code} {payload[2:].decode(errors='replace')}", code)
        elif kind <= TEXT:
            if last and not self._parts:
                self.on_text(payload)
                return
            self._parts.append(payload)
            if last:
                whole, self._parts = b"".join(self._parts), []
                self.on_text(whole)
