"""The tutorial's routes: a token, a socket, and each reply whole in one frame once it is stored."""

import asyncio
import time
from typing import Any

import msgspec

from parley.bench.checker import Reply
from parley.bench.drivers.base import Driver
from parley.bench.drivers.frames import delete
from parley.bench.http import Connection, Failed, Origin
from parley.bench.websocket import WebSocket


class Seed(Driver):
    """Talks over `/chat`."""

    streams = False

    def __init__(self, origin: Origin, model: str = "") -> None:
        super().__init__(origin, model)
        self._socket: WebSocket | None = None
        self._token = ""
        self._frame: asyncio.Future[dict[str, Any]] | None = None

    async def open(self) -> None:
        http = await Connection.open(self.origin)
        self._token = token = str((await http.json("POST", "/token", {"name": "bench"}))["token"])
        http.close()
        self._socket = await WebSocket.open(Origin(self.origin.url), f"/chat?token={token}")
        self._socket.on_text = self._take

    async def turn(self, message: str, reply: Reply) -> None:
        assert self._socket is not None
        self._frame = asyncio.get_running_loop().create_future()
        self._socket.send(message.encode())
        await self._socket.until(self._frame)
        frame = self._frame.result()
        if frame.get("error"):
            raise Failed(f"the reply failed: {frame['error']}")
        reply.take(frame["msg"], time.monotonic())

    async def forget(self) -> None:
        """The session's one conversation, as its holder."""
        holder = Origin(self.origin.url, self._token)
        http = await Connection.open(holder)
        listed = await http.json("GET", "/api/conversations")
        http.close()
        for each in listed["data"]:
            await delete(holder, each["id"])

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _take(self, text: bytes) -> None:
        if self._frame is not None and not self._frame.done():
            self._frame.set_result(msgspec.json.decode(text))
