"""Errors on the wire: every one in OpenAI's envelope, whatever raised it; no framework's forms, no 500 for bad input.

Adds to the table of core.errors what only HTTP knows:

    MethodNotAllowed 405 · NotAcceptable 406 · Timeout 408 · HttpError (414, 426, 431 …, by number)
"""

import logging
import math
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from parley.core.errors import InvalidRequest, ParleyError
from parley.wire.frames import encode

log = logging.getLogger(__name__)

# Where the rest of the request is not worth reading.
CLOSING = frozenset({408, 413})

CODES = {
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This path does not take that method."),
    414: ("uri_too_long", "The address is too long."),
    426: ("upgrade_required", "This is a WebSocket."),
    431: ("headers_too_large", "The headers are too large."),
}


class MethodNotAllowed(InvalidRequest):
    status = 405


class NotAcceptable(InvalidRequest):
    status = 406


class Timeout(InvalidRequest):
    status = 408


def respond(error: ParleyError, body: dict[str, object] | None = None) -> Response:
    """The response that tells an error; in the envelope, unless another body is given."""
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="parley"'
    if error.status in CLOSING:
        headers["connection"] = "close"
    return Response(encode(error.envelope() if body is None else body), error.status, headers, "application/json")


def of_status(status: int) -> dict[str, Any]:
    """The envelope for a status that is not in the table."""
    code, message = CODES.get(status, ("bad_request", HTTPStatus(status).phrase + "."))
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


async def on_parley_error(_: Request, error: Exception) -> Response:
    """Handler for everything in the table."""
    assert isinstance(error, ParleyError)
    return respond(error)


async def on_http_exception(_: Request, error: Exception) -> Response:
    """Handler for what the router raises: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    return Response(encode(of_status(error.status_code)), error.status_code, error.headers, "application/json")


async def on_disconnect(_: Request, __: Exception) -> Response:
    """Handler for clients that went away in mid-request: nobody reads this."""
    return Response(status_code=499)


INTERNAL_ERROR = ParleyError("internal_error", "Something went wrong on our side.")


async def on_anything(_: Request, __: Exception) -> Response:
    """Handler for what nobody foresaw; the gate logs it."""
    return respond(INTERNAL_ERROR)


HANDLERS = {
    Exception: on_anything,
    ParleyError: on_parley_error,
    HTTPException: on_http_exception,
    ClientDisconnect: on_disconnect,
}
