"""HTTP/1.1 for the load client, on a bare protocol: a library's client costs more than the server it should measure."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools
import msgspec

# Bytes that the servers sent to this process so far.
RECEIVED = [0]

OnBody = Callable[[bytes], None]


class Failed(Exception):
    """The server refused, or went away. `status` is HTTP's, 0 when there is none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Origin:
    """Where a server is: scheme, host, port and the path in front of every other."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self.url = url
        self.secure = parts.scheme in ("https", "wss")
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self.path = parts.path.rstrip("/")
        self.authority = parts.netloc.rpartition("@")[2]
        self.token = token

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """A request without its body."""
        lines = [f"{method} {self.path}{path} HTTP/1.1", f"host: {self.authority}"]
        if self.token:
            lines.append(f"authorization: Bearer {self.token}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> tuple[Any, Any]:
        """A connection. Raises `Failed`."""
        context = ssl.create_default_context() if self.secure else None
        try:
            return await asyncio.get_running_loop().create_connection(factory, self.host, self.port, ssl=context)
        except OSError as error:
            raise Failed(f"{self.authority} cannot be reached: {error.strerror or error}") from None


class Connection(asyncio.Protocol):
    """One connection, one request at a time, kept alive between them."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._done: asyncio.Future[None] | None = None
        self._on_body: OnBody | None = None
        self._body: list[bytes] = []
        self.status = 0

    @classmethod
    async def open(cls, origin: Origin) -> Self:
        """Connect. Raises `Failed`."""
        _, connection = await origin.connect(lambda: cls(origin))
        assert isinstance(connection, cls)
        return connection

    async def json(self, method: str, path: str, value: object = None, **headers: str) -> Any:
        """Ask for a document. Raises `Failed`, also for an error's status."""
        body = await self.stream(method, path, value, None, **headers)
        return msgspec.json.decode(body) if body else None

    async def stream(self, method: str, path: str, value: object, on_body: OnBody | None, **headers: str) -> bytes:
        """Ask, and give a successful answer's body to `on_body` as it comes; without one, it is returned.

        Raises:
            Failed: an error's status, or the connection broke.
            Exception: what `on_body` raised.
        """
        if self._transport is None or self._transport.is_closing():
            await self._origin.connect(lambda: self)
        assert self._transport is not None
        body = b"" if value is None else msgspec.json.encode(value)
        told = {name.replace("_", "-"): text for name, text in headers.items()}
        if value is not None:
            told |= {"content-type": "application/json"}
        self._parser = httptools.HttpResponseParser(self)
        self._on_body, self._body, self.status = on_body, [], 0
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(self._origin.head(method, path, told | {"content-length": str(len(body))}) + body)
        await self._done
        content = b"".join(self._body)
        if self.status >= 400:
            raise Failed(f"{method} {path}: {self.status} {content[:300].decode(errors='replace')}", self.status)
        return content

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    # The connection's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        RECEIVED[0] += len(data)
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            # What a callback of ours raised is inside.
            self._end(error.__context__ if isinstance(error.__context__, Exception) else error)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(Failed("the server closed the connection in mid-answer"))

    # The parser's callbacks

    def on_status(self, _: bytes) -> None:
        self.status = self._parser.get_status_code()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self._on_body is not None and self.status < 400:
            self._on_body(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._end(None)

    def _end(self, failure: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            if failure is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(failure)


class Events:
    """Cuts a body into server-sent events; gives the data of each to `take`. One line of data an event."""

    __slots__ = ("_rest", "_take")

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, body: bytes) -> None:
        """The next bytes."""
        lines = (self._rest + body).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip())
