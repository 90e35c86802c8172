"""Bodies of requests: bounded in size and time, strict JSON, into a type (wire.strict_json, wire.commands)."""

import asyncio
import re
from collections.abc import Mapping
from typing import TypeVar

from starlette.requests import Request

from parley.core.errors import InvalidRequest, TooLarge, UnsupportedMedia
from parley.server.errors import Timeout
from parley.wire import strict_json

T = TypeVar("T")

MEDIA_TYPE = re.compile(r'application/json[ \t]*(;[ \t]*charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*)?', re.IGNORECASE)
KEY = re.compile(r"[\x21-\x7e]+")
# How the other encodings of JSON text begin.
UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")


async def read_json(
    request: Request, kind: type[T], *, limit: int, seconds: float, optional: bool = False, declared: bool = True
) -> T:
    """Read a request's body as JSON of a type.

    Args:
        limit: its most bytes.
        seconds: how long it may take to arrive.
        optional: take no body at all for an empty object.
        declared: whether it must say that it is JSON.

    Raises:
        UnsupportedMedia, TooLarge, Timeout, InvalidRequest.
    """
    empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    if optional and empty:
        return strict_json.convert({}, kind)
    if declared and MEDIA_TYPE.fullmatch(request.headers.get("content-type", "")) is None:
        raise UnsupportedMedia("unsupported_media_type", "The body must be JSON: Content-Type: application/json.")
    if "content-encoding" in request.headers:
        raise UnsupportedMedia("unsupported_encoding", "The body may not be compressed.")
    data = await read(request, limit=limit, seconds=seconds)
    if data.startswith(UTF_16_OR_32):
        raise UnsupportedMedia("unsupported_charset", "The body must be UTF-8.")
    return strict_json.convert(strict_json.parse(data), kind)


async def read(request: Request, *, limit: int, seconds: float) -> bytes:
    """Read a request's body.

    Raises:
        TooLarge, Timeout.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > 15 or int(declared) > limit):
        raise too_large(limit)
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                data += chunk
                if len(data) > limit:
                    raise too_large(limit)
    except TimeoutError:
        raise Timeout("body_timeout", "The body did not arrive in time.") from None
    return bytes(data)


def too_large(limit: int) -> TooLarge:
    """The refusal of a body that is too long."""
    return TooLarge("body_too_large", f"The body may have {limit} bytes at most.")


def integer(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A number of the query string.

    Raises:
        InvalidRequest: it is none, or out of range.
    """
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise InvalidRequest("invalid_value", f"`{name}` must be a number from {low} to {high}.", param=name)
    return int(text)


def idempotency_key(values: list[str], most: int) -> str | None:
    """The key of a request; None when it has none.

    Raises:
        InvalidRequest: it is malformed.
    """
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("invalid_idempotency_key", "There may be one idempotency key.", param="Idempotency-Key")
    return check_key(values[0], most, "Idempotency-Key")


def check_key(key: str, most: int, param: str) -> str:
    """An idempotency key, if it is one.

    Raises:
        InvalidRequest: it is malformed.
    """
    if len(key) > most or KEY.fullmatch(key) is None:
        message = f"An idempotency key is 1 to {most} visible ASCII characters."
        raise InvalidRequest("invalid_idempotency_key", message, param=param)
    return key
