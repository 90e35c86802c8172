"""uvicorn's protocols with what they leave out: limits on a request's head, time limits, a way to cut a connection.

Measured without them: 200 kB of headers are taken, and 900 half-sent requests are held for as long as their senders
like.
"""

import asyncio
import base64
import binascii
import secrets
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from parley.server.errors import of_status
from parley.server.outbox import NO_AUTH, TOO_FAST
from parley.store.waiting import Flag, Mailbox
from parley.wire.frames import encode

HEAD_BYTES = 32 * 1024
HEADERS = 100
URL_BYTES = 8 * 1024
HEAD_SECONDS = 10.0

# websockets' pings of a client, which are answered without asking the application.
PINGS, PING_SECONDS = 100, 10.0
# Pieces of one message: each may be empty, so that no limit on bytes holds them.
FRAGMENTS = 10_000
# How long a client has to take the news that its socket is closed.
CLOSE_SECONDS = 10.0


# What a request's `extensions` hold besides the standard ones, each a function under the name `call`:
# it cuts the connection; it writes a whole frame of a socket if the connection takes it now, and tells whether.
ABORT, WRITE = "parley.abort", "parley.write"


class _Refused(Exception):
    """The head of a request is not to be read on."""


def refusal(status: int) -> bytes:
    """A whole response, in the envelope all errors have, to what never came as far as the application."""
    body = encode(of_status(status))
    lines = [
        STATUS_LINE[status],
        b"content-type: application/json\r\nconnection: close\r\n",
        b"x-request-id: %s\r\n" % secrets.token_hex(8).encode(),
        MORE.get(status, b""),
        b"content-length: %d\r\n\r\n" % len(body),
        body,
    ]
    return b"".join(lines)


# What a client is told besides (RFC 9110, section 15.5.6; RFC 6455, section 4.4).
MORE = {405: b"allow: GET\r\n", 426: b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"}


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1."""

    _status = 400  # what to answer to a head that cannot be read
    _size = 0  # bytes of the head so far
    _in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()  # the next request on this connection, or what is left of the last one
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._size += len(data)
            if self._size > 2 * HEAD_BYTES:
                self._status = 431
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._size = True, 0
        self.scope["extensions"] = {ABORT: {"call": self.transport.abort}}

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URL_BYTES:
            self._refuse(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._size += len(name) + len(value)
        if len(self.headers) > HEADERS or self._size > HEAD_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        self._in_head, self._size = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()
        self._status = self._judge_upgrade()
        if self._status:
            self.send_400_response("")
        else:
            super().handle_websocket_upgrade()

    def _judge_upgrade(self) -> int:
        """What is wrong with an upgrade (RFC 6455, section 4.2.1), as a status; 0: nothing."""
        headers = dict(self.headers)
        if self.scope["method"] != "GET":
            return 405
        if headers.get(b"sec-websocket-version") != b"13":
            return 426
        try:
            key = base64.b64decode(headers.get(b"sec-websocket-key", b""), validate=True)
        except binascii.Error:
            return 400
        return 0 if len(key) == 16 else 400

    def send_400_response(self, msg: str) -> None:
        """Answer a head that is malformed, too long or too slow, in the envelope all errors have."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(refusal(self._status))
        self.transport.close()

    def _refuse(self, status: int) -> None:
        self._status = status
        raise _Refused

    def _expect_head(self) -> None:
        self._in_head = True
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        self._timer = None
        self._status = 408
        self.send_400_response("")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class SocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket."""

    _pings = 0
    _ping_time = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The same in a tenth of the memory; there may be thousands of sockets.
        self.queue = Mailbox()  # type: ignore[assignment]
        self.writable = Flag(up=True)  # type: ignore[assignment]

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][WRITE] = {"call": self.write}

    def write(self, data: bytes) -> bool:
        """Write a whole frame, unless the connection is full or closing."""
        if self.close_sent or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            # The head was fit for HTTP and is not for a socket (a line of more than 8 kB).
            self.transport.write(refusal(431))
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return
        if len(self.frames) >= FRAGMENTS:
            self._fail(1009, "too many fragments")
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        if self.close_sent:
            return
        now = self.loop.time()
        if now - self._ping_time > PING_SECONDS:
            self._pings, self._ping_time = 0, now
        self._pings += 1
        if self._pings > PINGS:
            self._fail(TOO_FAST, "too many pings")
            return
        super().handle_ping()

    def keepalive_timeout(self) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self._fail(NO_AUTH, "no answer to a ping")
        self.transport.abort()  # it answers nothing: what is still to be written will never be read

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            # A close must not wait behind a client that does not read; in the end the connection is cut.
            self.writable.set()
            self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
        await super().send(message)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not is_utf8(b"".join(self.frames)):
            self.frames = []
            self._fail(1007, "not UTF-8")
            return
        super().send_receive_event_to_app()

    def _fail(self, code: int, reason: str) -> None:
        """Close for what the client did, without asking the application."""
        # It may have closed behind what it did: that was read already, and is handled next.
        if self.conn.state is State.OPEN:
            self.conn.send_close(code, reason)
            self.handle_parser_exception()


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text (RFC 6455, section 8.1)."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
