"""How Chainlit's own page talks to it: Socket.IO (version 5, over Engine.IO 4) on a WebSocket."""

import asyncio
import time
import uuid
from typing import Any

import msgspec

from parley.bench.checker import Reply
from parley.bench.drivers import Driver
from parley.bench.http import Origin
from parley.bench.websocket import WebSocket


class Chainlit(Driver):
    """One session."""

    def __init__(self, origin: Origin, model: str = "") -> None:
        super().__init__(origin, model)
        self._socket: WebSocket | None = None
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done: asyncio.Future[None] | None = None
        self._reply: Reply | None = None

    async def open(self) -> None:
        self._socket = await WebSocket.open(self.origin, "/ws/socket.io/?EIO=4&transport=websocket")
        self._socket.on_text = self._take
        who = {"clientType": "webapp", "sessionId": str(uuid.uuid4()), "threadId": "", "userEnv": "{}"}
        self._socket.send(b"40" + msgspec.json.encode(who))
        await self._socket.until(self._connected)
        self._emit("connection_successful")

    async def turn(self, message: str, reply: Reply) -> None:
        assert self._socket is not None
        said = {"id": str(uuid.uuid4()), "threadId": "", "name": "user", "type": "user_message", "output": message}
        self._reply, self._done = reply, asyncio.get_running_loop().create_future()
        self._emit("client_message", {"message": said | {"createdAt": "2026-01-01T00:00:00Z"}, "fileReferences": []})
        await self._socket.until(self._done)

    async def forget(self) -> None:
        """It keeps nothing."""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _emit(self, event: str, *values: object) -> None:
        assert self._socket is not None
        self._socket.send(b"42" + msgspec.json.encode([event, *values]))

    def _take(self, text: bytes) -> None:
        if text[:1] == b"2":
            assert self._socket is not None
            self._socket.send(b"3")
        elif text[:2] == b"40":
            self._connected.set_result(None)
        elif text[:2] == b"42":
            event, *values = msgspec.json.decode(text[2:])
            self._heard(event, values)

    def _heard(self, event: str, values: list[Any]) -> None:
        reply, done = self._reply, self._done
        if reply is None or done is None or done.done():
            return
        try:
            if event == "stream_start":
                reply.take(values[0]["output"], time.monotonic())
            elif event == "stream_token":
                reply.take(values[0]["token"], time.monotonic())
            elif event == "task_end" and reply.tokens:
                done.set_result(None)
        except Exception as error:
            done.set_exception(error)
