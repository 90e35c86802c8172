"""OpenAI's two ways to talk: chat completions, which any upstream and peer speaks, and Responses."""

import time
from abc import abstractmethod
from typing import Any

import msgspec
from msgspec import Struct

from parley.bench.checker import Reply
from parley.bench.drivers.base import Driver, Refused
from parley.bench.drivers.frames import delete
from parley.bench.drivers.sse import NOT_NOW
from parley.bench.http import Connection, Events, Failed, Origin
from parley.core.ids import parse_response_id


class Delta(Struct, frozen=True):
    """What a chunk adds."""

    content: str | None = None


class Choice(Struct):
    """One of the answers."""

    delta: Delta = Delta()


class Chunk(Struct):
    """One event of a chat completion."""

    choices: list[Choice] = []
    error: Any = None


class Event(Struct):
    """One event of a response, as far as it is read."""

    type: str = ""
    delta: Any = None
    response: dict[str, Any] | None = None


CHUNK = msgspec.json.Decoder(Chunk)
EVENT = msgspec.json.Decoder(Event)


class OpenAI(Driver):
    """A request a turn, the answer read as events."""

    path: str

    def __init__(self, origin: Origin, model: str = "") -> None:
        super().__init__(origin, model)
        self._http: Connection | None = None

    async def open(self) -> None:
        self._http = await Connection.open(self.origin)

    async def turn(self, message: str, reply: Reply) -> None:
        assert self._http is not None
        events = Events(lambda data: self.take(data, reply))
        try:
            await self._http.stream("POST", self.path, self.body(message), events.feed)
        except Failed as error:
            if error.status in NOT_NOW:
                raise Refused(str(error), error.status) from None
            raise

    @abstractmethod
    def body(self, message: str) -> dict[str, Any]:
        """The request."""

    @abstractmethod
    def take(self, data: bytes, reply: Reply) -> None:
        """The data of one event."""

    def close(self) -> None:
        if self._http is not None:
            self._http.close()


class Chat(OpenAI):
    """Chat completions: no conversation on the server, every request stands alone."""

    path = "/chat/completions"

    def body(self, message: str) -> dict[str, Any]:
        return {"model": self.model, "stream": True, "messages": [{"role": "user", "content": message}]}

    def take(self, data: bytes, reply: Reply) -> None:
        if data == b"[DONE]":
            return
        chunk = CHUNK.decode(data)
        if chunk.error is not None:
            raise Failed(f"the stream holds an error: {chunk.error}")
        if chunk.choices and (text := chunk.choices[0].delta.content):
            reply.take(text, time.monotonic())

    async def forget(self) -> None:
        """Nothing was kept."""


class Responses(OpenAI):
    """Responses: each turn behind the one before it, kept by the server."""

    path = "/responses"

    def __init__(self, origin: Origin, model: str = "") -> None:
        super().__init__(origin, model)
        self._previous = ""

    def body(self, message: str) -> dict[str, Any]:
        # The longest form: there are servers that take no other.
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": message}]}
        body: dict[str, Any] = {"model": self.model, "stream": True, "input": [said]}
        return body | ({"previous_response_id": self._previous} if self._previous else {})

    def take(self, data: bytes, reply: Reply) -> None:
        if data == b"[DONE]":
            return
        event = EVENT.decode(data)
        if event.type == "response.output_text.delta":
            reply.take(event.delta, time.monotonic())
        elif event.type == "response.completed" and event.response is not None:
            self._previous = event.response.get("id", "")
        elif event.type in ("response.failed", "error"):
            raise Failed(f"the stream holds an error: {data[:300].decode(errors='replace')}")

    async def forget(self) -> None:
        """The conversation that a response of Parley's stands in."""
        found = parse_response_id(self._previous)
        if found is not None:
            await delete(Origin(self.origin.url.removesuffix("/v1"), self.origin.token), found[0])
