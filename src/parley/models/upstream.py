"""An upstream over HTTP: its connections, its credentials, and one request at a time read under a deadline.

Nothing here follows redirects, keeps cookies, reads proxy settings or unpacks compressed bodies: an upstream is
asked to send plain bytes, so no bomb can be hidden in them.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from parley.models.beat import Beat
from parley.models.endpoint import Endpoint
from parley.models.failure import refusal
from parley.models.model import ModelError
from parley.models.patience import Patience
from parley.models.sse import EventReader, LineTooLong

log = logging.getLogger(__name__)

ERROR_BODY_CAP = 64 * 1024
DOCUMENT_CAP = 4 * 1024 * 1024
# How long the rest of a refused request's body is waited for, in seconds.
ERROR_BODY_WAIT = 5.0
# How long a finished stream's last bytes are waited for, so that its connection can serve again, in seconds.
DRAIN_WAIT = 0.05
# How often a reply that is waited for is looked at, in seconds: its deadline moves with every event.
LOOK = 0.25


class Upstream:
    """One server: made anywhere, used in one event loop, closed there.

    Args:
        connect: seconds for name look-up, connecting and TLS together.
        force_close: keep no connection for a later request; for servers that close theirs unannounced. With or
            without it, a request whose connection breaks before the first byte of a reply is sent once more.
    """

    def __init__(self, endpoint: Endpoint, *, connect: float, force_close: bool) -> None:
        self._endpoint = endpoint
        self._connect = connect
        self._force_close = force_close
        self._session: aiohttp.ClientSession | None = None
        self._beat = Beat()

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, patience: Patience, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator["Reply"]:
        """Send a request; leaving the block closes its connection at once unless the reply was read to its end.

        Raises:
            ModelError: upstream_unreachable or upstream_timeout.
        """
        response = await self._open(url, body, headers or {}, patience)
        reply = Reply(response, patience, self._beat)
        try:
            yield reply
        finally:
            # An unread rest is not waited for: closing tells the upstream to stop generating.
            reply.close()

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(
        self, url: str, body: bytes, headers: Mapping[str, str], patience: Patience
    ) -> aiohttp.ClientResponse:
        for last in (False, True):
            try:
                async with asyncio.timeout_at(patience.until):
                    return await self._client().post(url, data=body, headers=headers, allow_redirects=False)
            except aiohttp.ConnectionTimeoutError as error:
                message = f"no connection to the upstream within {self._connect:g} s"
                raise ModelError("upstream_unreachable", message, retryable=True) from error
            except TimeoutError:
                raise patience.exhausted() from None
            except aiohttp.ClientConnectorError as error:
                message = "cannot connect to the upstream"
                raise ModelError("upstream_unreachable", message, retryable=True) from error
            except (aiohttp.ClientConnectionError, ConnectionError) as error:
                # A kept connection that the server had closed meanwhile looks just like this.
                if last:
                    message = "the upstream closed the connection without an answer"
                    raise ModelError("upstream_unreachable", message, retryable=True) from error
            except (aiohttp.ClientError, ValueError) as error:
                log.debug("malformed answer: %s", type(error).__name__)
                message = "the upstream's answer is not HTTP as it should be"
                raise ModelError("upstream_invalid", message) from None
        raise AssertionError("unreachable: the last round returns or raises")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {
                "Content-Type": "application/json",
                "Accept": "text/event-stream, application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "parley",
            }
            if self._endpoint.authorization:
                headers["Authorization"] = self._endpoint.authorization.reveal()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=self._force_close),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect, sock_read=None),
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


class Reply:
    """An upstream's reply as it arrives: a stream of events, or one document."""

    def __init__(self, response: aiohttp.ClientResponse, patience: Patience, beat: Beat) -> None:
        self._response = response
        self._patience = patience
        self._beat = beat
        self.status = response.status
        self.content_type = response.content_type
        self.one_document = response.content_type == "application/json"
        self._broken = False
        self._ended = False
        self._reader = EventReader()
        # Whether any event was seen: tells a stream that was cut from something that never was one.
        self._events_seen = False
        self._bytes_seen = False
        # One timer for all readings: one for each costs more than the reading.
        self._reading = False
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)
        beat.readers += 1

    def close(self) -> None:
        """Close the connection, unless the reply was read to its end."""
        self._beat.readers -= 1
        self._timer.cancel()
        self._response.close()

    async def check(self, *, continued: bool = False) -> None:
        """Raise the failure of a reply that is no answer: any status but 200, HTML, or a compressed body."""
        if self.status != 200:
            body = await self._error_body()
            log.debug("upstream answered %d, %d bytes of %s", self.status, len(body), self.content_type)
            raise refusal(self.status, self._response.headers, body, continued=continued, now=time.time())
        if self._response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ModelError("upstream_invalid", "the upstream sent a compressed answer, unasked")
        if self.content_type in ("text/html", "application/xhtml+xml"):
            raise ModelError("upstream_invalid", "the upstream sent an HTML page instead of an answer")

    async def events(self, *, complete: bool = False) -> list[bytes]:
        """The data of the next events, as many as came together; none at the end. A document is one event.

        Args:
            complete: the answer is known to be whole, so that silence is its end too.

        Raises:
            ModelError: silence beyond patience, a line or document beyond its cap, a document that was cut.
        """
        if self.one_document:
            return [] if self._ended else [await self._document()]
        if self._patience.started and not complete:
            await self._beat.wait()
        while not self._ended:
            try:
                chunk = await self._read()
            except ModelError:
                if not complete:
                    raise
                chunk = b""
            self._ended = not chunk
            self._bytes_seen = self._bytes_seen or bool(chunk)
            try:
                events = self._reader.feed(chunk) if chunk else self._reader.close()
            except LineTooLong as error:
                raise ModelError("upstream_invalid", str(error)) from None
            if events:
                self._events_seen = True
                self._patience.progress()
                return events
        return []

    async def drain(self) -> None:
        """Take in the last bytes behind a stream's end mark, if they come at once, so the connection can be kept."""
        try:
            async with asyncio.timeout(DRAIN_WAIT):
                while await self._response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            return

    @property
    def properly_ended(self) -> bool:
        """Whether the stream came to its end, with events in it, rather than being cut."""
        return self._ended and self._events_seen and not self._broken

    def cut(self) -> ModelError:
        """The failure of a reply that ended before the answer did."""
        if self.one_document or (self._bytes_seen and not self._events_seen and not self._broken):
            return ModelError("upstream_invalid", "the upstream sent something that is not an answer")
        return ModelError("upstream_cut", "the upstream broke off in mid-answer", retryable=True)

    async def _document(self) -> bytes:
        data = bytearray()
        while chunk := await self._read():
            data += chunk
            if len(data) > DOCUMENT_CAP:
                raise ModelError("upstream_invalid", f"the upstream's answer is over {DOCUMENT_CAP} bytes")
        if self._broken:
            raise ModelError("upstream_cut", "the upstream broke off its answer", retryable=True)
        self._ended = True
        return bytes(data)

    async def _read(self) -> bytes:
        """The next bytes; none at the end, be it proper or not."""
        self._reading = True
        try:
            return await self._response.content.readany()
        except TimeoutError:
            raise self._patience.exhausted() from None
        except (aiohttp.ClientError, ConnectionError):
            self._broken = True
            return b""
        finally:
            self._reading = False

    def _look(self) -> None:
        """End the reading under way once patience is."""
        remaining = self._patience.remaining()
        if self._reading and remaining <= 0:
            self._response.content.set_exception(TimeoutError())
        else:
            wait = min(max(remaining, 0.001), LOOK) if self._reading else LOOK
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)

    async def _error_body(self) -> bytes:
        data = bytearray()
        try:
            async with asyncio.timeout(ERROR_BODY_WAIT):
                while len(data) < ERROR_BODY_CAP and (chunk := await self._response.content.readany()):
                    data += chunk
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            log.debug("error body cut at %d bytes", len(data))
        return bytes(data[:ERROR_BODY_CAP])
