"""JSON-RPC messages of MCP over Streamable HTTP, in both its eras.

Up to 2025-11-25 a client begins with `initialize`; from 2026-07-28 on every request stands alone, and says in `_meta`
and in headers what it is.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

MODERN = ("2026-07-28",)
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
# The statuses of errors from 2026-07-28 on; before, an error that answers a request has status 200.
STATUSES = {METHOD_NOT_FOUND: 404}

Id = str | int
Object = dict[str, Any]


class RpcError(Exception):
    """An error that a client is told in place of a result.

    Args:
        answers: the id of the request it answers; None: of none in particular.
        status: of the response.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        answers: Id | None = None,
        data: Object | None = None,
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.answers = answers
        self.status = status
        self.body: Object = {"code": code, "message": message, **({"data": data} if data else {})}

    def envelope(self) -> Object:
        """The message that tells it."""
        return {"jsonrpc": "2.0", "id": self.answers, "error": self.body}


class _Message(Struct, frozen=True):
    jsonrpc: Literal["2.0"]
    method: str
    id: Id | UnsetType = UNSET
    params: Object = field(default_factory=dict)


class Call(Struct, frozen=True):
    """A request; `id` is None for a notification. `modern`: it is of 2026-07-28 or later."""

    method: str
    params: Object
    id: Id | None
    modern: bool

    @property
    def token(self) -> Id | None:
        """What the client wants to see on notes of progress; None: it wants none."""
        meta = self.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return token if isinstance(token, str | int) and not isinstance(token, bool) else None

    def error(self, code: int, message: str, data: Object | None = None) -> RpcError:
        """An error that answers this."""
        status = STATUSES.get(code, 400) if self.modern else 200
        return RpcError(code, message, answers=self.id, data=data, status=status)

    def result(self, body: Object) -> Object:
        """The message that answers this."""
        return {"jsonrpc": "2.0", "id": self.id, "result": {**body, "resultType": "complete"} if self.modern else body}


def read(value: Object, headers: Mapping[str, str]) -> Call:
    """The request that a body and its headers are.

    Raises:
        RpcError.
    """
    try:
        message = msgspec.convert(value, _Message)
    except msgspec.ValidationError as error:
        raise RpcError(
            INVALID_REQUEST, f"This is not a request of JSON-RPC 2.0: {error}.", answers=_id(value)
        ) from None
    meta = message.params.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    version = headers.get("mcp-protocol-version")
    modern = version in MODERN or VERSION_KEY in meta
    call = Call(message.method, message.params, None if message.id is UNSET else message.id, modern)
    if modern:
        _check_modern(call, meta, headers)
    elif version is not None and version not in HANDSHAKE:
        raise _unsupported(call, version)
    return call


def _check_modern(call: Call, meta: Object, headers: Mapping[str, str]) -> None:
    """Basic protocol, "per-request protocol fields", and Streamable HTTP, "standard headers"."""
    version = headers.get("mcp-protocol-version")
    if call.id is None:
        return  # headers of notifications are not defined, and nothing is done about any
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in meta]
    if missing:
        raise call.error(INVALID_PARAMS, f"`params._meta` has no {' and no '.join(missing)}.")
    if meta[VERSION_KEY] != version:
        raise call.error(HEADER_MISMATCH, "The header MCP-Protocol-Version is not what `params._meta` says.")
    if headers.get("mcp-method") != call.method:
        raise call.error(HEADER_MISMATCH, "The header Mcp-Method is not the request's method.")
    if call.method == "tools/call" and headers.get("mcp-name") != call.params.get("name"):
        raise call.error(HEADER_MISMATCH, "The header Mcp-Name is not the tool's name.")
    if version not in MODERN:
        raise _unsupported(call, str(version))


def _unsupported(call: Call, version: str) -> RpcError:
    data = {"supported": [*MODERN, *HANDSHAKE], "requested": version}
    return RpcError(UNSUPPORTED_VERSION, "That version of the protocol is not spoken here.", answers=call.id, data=data)


def _id(value: Object) -> Id | None:
    """The id of what is not a request, as far as it has one."""
    found = value.get("id")
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def initialized(params: Object, server: Object, instructions: str) -> Object:
    """The result of `initialize`."""
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in HANDSHAKE else HANDSHAKE[0],
        "capabilities": {"tools": {}},
        "serverInfo": server,
        "instructions": instructions,
    }


def discovered(server: Object, instructions: str) -> Object:
    """The result of `server/discover`."""
    return {
        "supportedVersions": [*MODERN, *HANDSHAKE],
        "capabilities": {"tools": {}},
        "instructions": instructions,
        **UNCACHED,
        "_meta": {SERVER_KEY: server},
    }


# Results that may be cached say so, from 2026-07-28 on.
UNCACHED: Object = {"ttlMs": 0, "cacheScope": "private"}


def progress(token: Id, count: int, text: str) -> Object:
    """A note of progress: how many characters there are, and the newest of them."""
    params = {"progressToken": token, "progress": count, "message": text}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
