"""Helpers for the tests of models: reading an answer whole, and servers that send bytes no honest one would."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from parley.core.message import Message, Parameters, Transcript
from parley.core.pieces import Piece
from parley.models.model import Answer, Finish, ModelError, Waiting
from parley.models.openai import OpenAIModel
from parley.testing.upstream import ScriptedUpstream


class Heard:
    """An answer as it was heard."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning = ""
        self.pieces: list[Piece] = []
        self.waits: list[Waiting] = []
        self.finish: Finish | None = None
        self.error: ModelError | None = None


async def hear(answer: Answer) -> Heard:
    """Read an answer to its end, be it a finish or an error."""
    heard = Heard()
    try:
        async for item in answer:
            assert heard.finish is None, "nothing may follow the finish"
            if isinstance(item, Piece):
                assert item.text, "an empty piece says nothing"
                heard.pieces.append(item)
                if item.channel == "text":
                    heard.text += item.text
                else:
                    heard.reasoning += item.text
            elif isinstance(item, Waiting):
                heard.waits.append(item)
            else:
                heard.finish = item
    except ModelError as error:
        heard.error = error
    return heard


def asking(text: str, partial: str = "", **parameters: Any) -> Transcript:
    """A transcript of one user message."""
    return Transcript((Message("user", text),), Parameters(**parameters), partial)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an asynchronous test."""
    asyncio.run(main())


class RawServer:
    """A server that answers each connection with fixed bytes, whatever it is asked."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.requests: list[bytes] = []
        # Set when a reader has closed its side.
        self.left = asyncio.Event()


Script = Callable[[RawServer, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[RawServer]:
    """Serve a script on a free port of the loopback interface."""
    raw = RawServer()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(raw, reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    raw.url = f"http://127.0.0.1:{port}"
    try:
        yield raw
    finally:
        server.close()


async def read_request(raw: RawServer, reader: asyncio.StreamReader) -> bytes:
    """Read one request with a Content-Length; keep it."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    body = await reader.readexactly(length)
    raw.requests.append(head + body)
    return body


def sends(*chunks: bytes, status: str = "200 OK", kind: str = "text/event-stream", headers: str = "") -> Script:
    """A script: read a request, send a head and the chunks one write each, and close."""

    async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(raw, reader)
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{headers}Connection: close\r\n\r\n"
        writer.write(head.encode())
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)

    return script


def open_model(url: str, **settings: Any) -> OpenAIModel:
    """A model with short times, so that a failing test fails soon."""
    return OpenAIModel("m", url, "scripted", **{"first_token": 5.0, "stall": 5.0, "connect": 2.0} | settings)


async def ask(upstream: ScriptedUpstream, text: str, partial: str = "", **settings: Any) -> Heard:
    model = open_model(upstream.url, **settings)
    try:
        return await hear(model.answer(asking(text, partial)))
    finally:
        await model.close()


async def ask_raw(raw: RawServer, **settings: Any) -> Heard:
    model = open_model(raw.url, **{"tries": 1} | settings)
    try:
        return await hear(model.answer(asking("Hi")))
    finally:
        await model.close()


def chunk(text: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()


STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
