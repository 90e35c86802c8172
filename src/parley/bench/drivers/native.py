"""Parley's own protocol over a WebSocket: one socket, one conversation followed."""

import asyncio
import time

import msgspec

from parley.bench.checker import Reply
from parley.bench.drivers.base import Driver
from parley.bench.drivers.frames import FRAME, Taking, delete, make_conversation, stored
from parley.bench.http import Origin
from parley.bench.websocket import WebSocket


class Native(Driver):
    """Says and follows over one socket."""

    keeps = True

    def __init__(self, origin: Origin, model: str = "") -> None:
        super().__init__(origin, model)
        self.conversation = ""
        self._socket: WebSocket | None = None
        self._taking: Taking | None = None
        self._done: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Make a conversation and follow it."""
        await self.follow(await make_conversation(self.origin))

    async def connect(self) -> None:
        """Open the socket, and no more."""
        self._socket = await WebSocket.open(self.origin, "/api/socket")
        self._socket.on_text = self._take

    async def follow(self, conversation: str) -> None:
        """Follow a conversation from now on."""
        self.conversation = conversation
        await self.connect()
        assert self._socket is not None
        following: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._socket.on_text = lambda _: None if following.done() else following.set_result(None)
        self._socket.send(msgspec.json.encode({"type": "follow", "conversation": conversation, "turns": 1}))
        await self._socket.until(following)
        self._socket.on_text = self._take

    async def turn(self, message: str, reply: Reply) -> None:
        assert self._socket is not None
        said = {"type": "say", "conversation": self.conversation, "input": message}
        if self.model:
            said["model"] = self.model
        self._taking = taking = Taking(reply)
        self._done = asyncio.get_running_loop().create_future()
        self._socket.send(msgspec.json.encode(said))
        await self._socket.until(self._done)
        self.accepted = taking.accepted_at - reply.asked_at

    async def watch(self, reply: Reply) -> None:
        """Take the reply to the next turn, which somebody else says."""
        self._taking = Taking(reply, watching=True)
        self._done = asyncio.get_running_loop().create_future()
        assert self._socket is not None
        await self._socket.until(self._done)

    async def kept(self) -> str | None:
        assert self._taking is not None
        return await stored(self.origin, self.conversation, self._taking.turn)

    async def forget(self) -> None:
        await delete(self.origin, self.conversation)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _take(self, text: bytes) -> None:
        done, taking = self._done, self._taking
        if done is None or taking is None or done.done():
            return
        now = time.monotonic()
        try:
            taking.take(FRAME.decode(text), now)
            if taking.complete:
                done.set_result(None)
        except Exception as error:
            done.set_exception(error)
