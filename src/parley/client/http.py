"""JSON over HTTP: one request, one answer. The standard library's client, in a thread.

It carries the few commands that are not on the WebSocket. An HTTP library would cost the terminal 0.3 s of start
(measured) for one request.
"""

import asyncio
import contextlib
import http.client
import random
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import msgspec

from parley.client.address import Address
from parley.client.backoff import pause
from parley.client.errors import CLOSED, Closed, Error, InvalidRequest, NotAllowed, ServerFault, Unreachable, error_of
from parley.client.values import ErrorBody, encode

TIMEOUT = 30.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A server may not send us elsewhere, token and all."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Http:
    """JSON requests to one server.

    Args:
        patience: seconds to try again when a server that was there is not.
    """

    def __init__(self, address: Address, patience: float) -> None:
        self._address = address
        self._patience = patience
        self._closed = False
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if address.loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def close(self) -> None:
        """Ask nothing any more."""
        self._closed = True

    async def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> bytes:
        """Ask, and again when the way to the server breaks: only for what may be asked twice.

        Raises:
            Error: as the server says, or Unreachable, or Closed.
        """
        if self._closed:
            raise Closed(CLOSED)
        end = asyncio.get_running_loop().time() + self._patience
        attempt = 0
        while True:
            try:
                return await _in_thread(lambda: self._ask(method, path, body, key))
            except Unreachable as error:
                attempt += 1
                wait = max(pause(attempt, random.random()), error.retry_after or 0)
                if not self._address.reached or asyncio.get_running_loop().time() + wait > end:
                    raise
            await asyncio.sleep(wait)

    def _ask(self, method: str, path: str, body: Any, key: str | None) -> bytes:
        headers = {"Accept": "application/json", **self._address.headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        request = urllib.request.Request(  # noqa: S310  (Address takes http and https only)
            f"{self._address.url}/api{path}",
            data=None if body is None else encode(body),
            headers=headers,
            method=method,
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                data: bytes = answer.read()
        except urllib.error.HTTPError as error:
            self._address.reached = True
            with error:
                raise refusal(error.code, error.read(65_536), error.headers.get("Retry-After")) from None
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self._address, error) from error
        self._address.reached = True
        return data


async def _in_thread(work: Callable[[], bytes]) -> bytes:
    """Run blocking work in a thread of its own, which nobody waits for once this is cancelled.

    The threads of `asyncio.to_thread` would keep a program from ending until the last request has timed out.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(data)
        else:
            answer.set_exception(error)

    def run() -> None:
        data, failure = b"", None
        try:
            data = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, data, failure)

    threading.Thread(target=run, name="parley http", daemon=True).start()
    return await answer


def refusal(status: int, body: bytes, retry_after: str | None = None) -> Error:
    """The error that an answer other than 2xx stands for."""
    wait = float(retry_after) if retry_after and retry_after.isdigit() else None
    try:
        said = msgspec.convert(msgspec.json.decode(body).get("error"), ErrorBody)
    except (msgspec.MsgspecError, AttributeError):
        said = None
    if said is not None and said.type:
        return error_of(said.type, said.code or "", said.message, param=said.param, retry_after=wait)
    if status in (502, 503, 504):
        return Unreachable(f"The server cannot serve now (HTTP {status}). Try again in a moment.", retry_after=wait)
    if status in (401, 403):
        return NotAllowed("The server wants a token. Give it with --token or PARLEY_TOKEN.")
    if status >= 500:
        return ServerFault(f"The server failed (HTTP {status}). Its log knows more.")
    return InvalidRequest(f"What answers there is no Parley server (HTTP {status}). Check --url or PARLEY_URL.")


def unreachable(address: Address, error: BaseException) -> Unreachable:
    """The error for a server that does not answer."""
    reason: Any = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Unreachable(f"The certificate of {address.url} is not to be trusted: {reason.verify_message}.")
    if isinstance(reason, ConnectionRefusedError) or not str(reason):
        detail = "nothing listens there" if isinstance(reason, ConnectionRefusedError) else type(reason).__name__
    else:
        detail = str(getattr(reason, "strerror", None) or reason)
    return Unreachable(
        f"No server at {address.url} ({detail}). Start one with `parley up`, or name another with --url or PARLEY_URL."
    )
