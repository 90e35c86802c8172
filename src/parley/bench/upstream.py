"""The deterministic upstream: chat completions on a bare protocol, so that it is never what is measured.

    python -m parley.bench.upstream

prints ``ready URL``. A reply is asked for by words of the last user message (speech.py). The token at position k is
written k delays after the request was read, on an absolute schedule; with delay 0 as fast as the reader takes them.
`GET /schedule` tells when each tag's request was read (`time.monotonic`, one clock for all processes of a machine),
and how late the tokens were written.
"""

import argparse
import asyncio
import signal
import time
from collections.abc import Iterator
from typing import cast

import httptools
import msgspec
import uvloop
from msgspec import Struct

from parley.bench.histogram import Histogram
from parley.bench.speech import Ask, asked

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":0,"owned_by":"parley"}]}'
# uvloop's timers count whole milliseconds and round: half of one more, and no token is early.
ROUNDED = 0.0005
# Tokens written in a row by a reply without delay, before the others have their turn.
BURST = 16


class Said(Struct):
    """A message; only a text is looked at."""

    content: str | list[dict[str, object]] | None = None


class Options(Struct):
    """Of the options for streams the one that matters here."""

    include_usage: bool = False


class Request(Struct):
    """What is read of a request for a chat completion."""

    messages: list[Said]
    stream: bool = False
    stream_options: Options | None = None
    model: str = "bench"


class Schedule(Struct):
    """When replies began, by tag, and how late tokens were written (seconds from due to written)."""

    began: dict[str, float] = {}
    late_ms: dict[str, float] = {}
    tokens: int = 0


REQUEST = msgspec.json.Decoder(Request)


class Upstream:
    """What all connections share."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.late = Histogram()

    def schedule(self) -> bytes:
        """What was done so far, as JSON; counted anew from here on."""
        told = Schedule(self.began, self.late.milliseconds(), self.late.count)
        self.began, self.late = {}, Histogram()
        return msgspec.json.encode(told)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body: list[bytes] = []
        self._timer: asyncio.Handle | None = None
        self._flowing = True
        self._stalled: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._flowing = False

    def resume_writing(self) -> None:
        self._flowing = True
        if self._stalled is not None:
            stream, self._stalled = self._stalled, None
            self._burst(stream)

    # The parser's callbacks

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path, body = self._path, b"".join(self._body)
        self._path, self._body = b"", []
        if path == b"/schedule":
            self._answer(b"200 OK", self._upstream.schedule())
        elif path.endswith(b"/models"):
            self._answer(b"200 OK", MODELS)
        elif path.endswith(b"/chat/completions"):
            self._chat(body)
        else:
            self._answer(b"404 Not Found", b'{"error":{"message":"no such page"}}')

    def _answer(self, status: bytes, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
        )

    def _chat(self, body: bytes) -> None:
        try:
            request = REQUEST.decode(body)
        except msgspec.DecodeError as error:
            self._answer(b"400 Bad Request", msgspec.json.encode({"error": {"message": str(error)}}))
            return
        ask = question(request)
        self._upstream.began[ask.tag] = now = time.monotonic()
        usage = {"prompt_tokens": len(request.messages), "completion_tokens": ask.tokens}
        usage["total_tokens"] = sum(usage.values())
        if not request.stream:
            delay = ask.tokens * ask.delay
            self._timer = self._loop.call_later(delay, self._answer, b"200 OK", document(ask, request.model, usage))
            return
        wants_usage = request.stream_options is not None and request.stream_options.include_usage
        stream = Stream(ask, now, events(ask, request.model, usage if wants_usage else None))
        self._transport.write(HEAD + chunk(stream.opening))
        self._pace(stream) if ask.delay else self._burst(stream)

    # The stream

    def _pace(self, stream: "Stream") -> None:
        """Write the tokens that are due, and come back for the next."""
        now = time.monotonic()
        while (due := stream.due) <= now:
            event = next(stream.events, None)
            if event is None:
                self._transport.write(chunk(stream.closing) + b"0\r\n\r\n")
                return
            self._transport.write(event)
            self._upstream.late.add(now - due)
            stream.written += 1
            if stream.written == stream.length:
                self._transport.write(chunk(stream.closing) + b"0\r\n\r\n")
                return
        self._timer = self._loop.call_later(due - now + ROUNDED, self._pace, stream)

    def _burst(self, stream: "Stream") -> None:
        """Write as fast as the reader takes it, a few tokens a round."""
        for _ in range(BURST):
            if not self._flowing:
                self._stalled = stream
                return
            event = next(stream.events, None)
            if event is None:
                self._transport.write(chunk(stream.closing) + b"0\r\n\r\n")
                return
            self._transport.write(event)
            self._upstream.late.add(0.0)
        self._timer = self._loop.call_soon(self._burst, stream)


class Stream:
    """A reply under way. `opening` and `closing` are the events around its tokens; `events` are chunks as written."""

    __slots__ = ("ask", "began", "closing", "events", "length", "opening", "written")

    def __init__(self, ask: Ask, began: float, parts: tuple[bytes, list[bytes], bytes]) -> None:
        self.ask = ask
        self.began = began
        self.opening, tokens, self.closing = parts
        self.events: Iterator[bytes] = iter(tokens)
        self.length = len(tokens)
        self.written = 0

    @property
    def due(self) -> float:
        """When the next token is due."""
        return self.began + self.written * self.ask.delay


def question(request: Request) -> Ask:
    """What the last message that asks for something asks for; else a short answer."""
    for message in reversed(request.messages):
        content = message.content
        text = content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content or ())
        if (found := asked(text)) is not None:
            return found
    return Ask(8, 0.0, "unasked")


def events(ask: Ask, model: str, usage: dict[str, int] | None) -> tuple[bytes, list[bytes], bytes]:
    """Before the tokens, for each token (as a chunk of the transfer encoding), and behind them."""
    head = b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":%b,"choices":[' % (
        msgspec.json.encode(model)
    )
    delta = head.replace(b"%", b"%%") + b'{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
    opening = head + b'{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    closing = head + b'{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    if usage is not None:
        closing += head + b'],"usage":%b}\n\n' % msgspec.json.encode(usage)
    return opening, [chunk(delta % token.encode()) for token in ask.all_tokens()], closing + b"data: [DONE]\n\n"


def document(ask: Ask, model: str, usage: dict[str, int]) -> bytes:
    """The whole reply at once."""
    choice = {"index": 0, "message": {"role": "assistant", "content": ask.text}, "finish_reason": "stop"}
    whole = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": model}
    return msgspec.json.encode({**whole, "choices": [choice], "usage": usage})


def chunk(data: bytes) -> bytes:
    """A chunk of the transfer encoding (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(host: str, port: int) -> None:
    """Run until SIGTERM or SIGINT, having printed one ready line."""
    loop, stop, upstream = asyncio.get_running_loop(), asyncio.Event(), Upstream()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: Connection(upstream), host, port, backlog=4096)
    print(f"ready http://{host}:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await stop.wait()
    server.close()


def main(arguments: list[str] | None = None) -> None:
    """``python -m parley.bench.upstream``."""
    parser = argparse.ArgumentParser(prog="python -m parley.bench.upstream", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    chosen = parser.parse_args(arguments)
    uvloop.run(serve(chosen.host, chosen.port))


if __name__ == "__main__":
    main()
