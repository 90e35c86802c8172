"""The gate: what holds for every request before anything else looks at it, and for every response behind it.

Host and Origin are checked (DNS rebinding, pages of strangers), each response gets its `x-request-id` and the headers
that keep browsers careful, and whatever nobody caught becomes the envelope of a 500 here.
"""

import ipaddress
import logging
import re
import secrets
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley.core.errors import Forbidden, InvalidRequest, Misdirected, ParleyError
from parley.server import visit
from parley.server.errors import INTERNAL_ERROR, respond
from parley.server.root_path import FORWARDED, ROOT

log = logging.getLogger(__name__)

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
    "frame-ancestors "
)
CAREFUL = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
UNCACHED = (b"cache-control", b"no-store")
# Names that were found to be ours, remembered: they are few, while it lasts.
REMEMBERED = 1_000

# The server's own `send`, in the scope, for streams: all wrappers look at is how a response begins.
RAW_SEND = "parley.send"


class Gate:
    """Wraps the application.

    Args:
        origins: more origins whose pages may speak to us, besides the one a request is addressed to.
        hosts: more names that requests may be addressed to, besides localhost and IP addresses; ``*``: any.
        embedders: origins whose pages may frame ours and load the script for it, and nothing else.
        root: the path a proxy serves us below; `FORWARDED`: what the proxy says it is.
    """

    def __init__(
        self,
        app: ASGIApp,
        origins: Iterable[str],
        hosts: Iterable[str],
        root: str = "",
        embedders: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._embedders = frozenset(embedders)
        self._careful = [*CAREFUL, *framing(self._embedders)]
        self._root = root
        self._origins = frozenset(origins)
        named = (urlsplit(origin).hostname or "" for origin in self._origins)
        self._ours: set[str] = set()
        self._hosts = frozenset(host.lower() for host in (*hosts, *named, "localhost"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if self._root:
            scope["root_path"] = scope.get("root_path", "") + self._prefix(scope)
        scope[RAW_SEND] = send
        visited = visit.begin(scope)
        request_id = secrets.token_hex(8)
        started = ended = False

        async def marked(message: Message) -> None:
            nonlocal started, ended
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                started = True
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), *self._careful]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(UNCACHED)
                if visited.standing is not None:
                    headers += visit.headers_of(visited.standing)
                message["headers"] = headers
            elif message["type"] == "websocket.accept":
                started = True
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                ended = True
            await send(message)

        try:
            self._check(Headers(scope=scope), scope)
            await self._app(scope, receive, marked)
        except ParleyError as error:
            if started:
                raise
            await refuse(respond(error), scope, receive, marked)
        except Exception as error:
            if isinstance(error, OSError) and scope["type"] == "websocket" and started:
                return  # the client went away while it was being sent something
            # Not the path: the seeds' addresses hold tokens.
            log.exception("request %s failed (%s)", request_id, scope.get("method", "WebSocket"))
            if not started:
                await refuse(respond(INTERNAL_ERROR), scope, receive, marked)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011, "reason": "our fault"})
            elif not ended:
                raise  # the connection is cut, as half an answer must not look like a whole one

    def _prefix(self, scope: Scope) -> str:
        """The path we are served below. Starlette takes it off the request's path, if the proxy did not."""
        if self._root != FORWARDED:
            return self._root
        given = Headers(scope=scope).get(FORWARDED, "").rstrip("/")
        return given if ROOT.fullmatch(given) else ""

    def _check(self, headers: Headers, scope: Scope) -> None:
        """Refuse what is not addressed to us, or comes from a stranger's page.

        Raises:
            InvalidRequest, Misdirected, Forbidden.
        """
        given = headers.getlist("host")
        if len(given) > 1 or (not given and scope["http_version"] == "1.1"):
            raise InvalidRequest("invalid_host", "There must be one Host header.")
        host = given[0] if given else ""
        if given and not self._is_ours(host):
            raise Misdirected("unknown_host", "This server does not answer to that name.")
        origins = headers.getlist("origin")
        if origins:
            scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
            allowed = (
                origins[0] == f"{scheme}://{host}" or origins[0] in self._origins or self._embeds(origins[0], scope)
            )
            if len(origins) > 1 or not allowed:
                raise Forbidden("origin_not_allowed", "Pages of that origin may not speak to this server.")
        elif headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A stranger's link to our page is fine; anything else browsers send with an Origin.
            reading = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
            if not reading or headers.get("sec-fetch-mode") != "navigate":
                raise Forbidden("origin_not_allowed", "Pages of that origin may not speak to this server.")

    def _embeds(self, origin: str, scope: Scope) -> bool:
        """Whether this is a page that may embed ours, asking for the script to do so."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return origin in self._embedders and path == "/embed.js" and scope.get("method") in ("GET", "HEAD")

    def _is_ours(self, host: str) -> bool:
        if host in self._ours:
            return True
        if not self._is_allowed(host):
            return False
        if len(self._ours) < REMEMBERED:
            self._ours.add(host)
        return True

    def _is_allowed(self, host: str) -> bool:
        match = HOST.fullmatch(host)
        if match is None:
            return False
        if "*" in self._hosts:
            return True
        name = match[1].lower()
        if name in self._hosts:
            return True
        try:
            # A rebound name is a name: whoever writes an address means that address.
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def framing(embedders: Collection[str]) -> list[tuple[bytes, bytes]]:
    """The headers that say whose pages may frame ours; older browsers know only nobody's."""
    policy = POLICY + (" ".join(sorted(embedders)) or "'none'")
    older = [] if embedders else [(b"x-frame-options", b"DENY")]
    return [(b"content-security-policy", policy.encode()), *older]


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response; to a socket, in place of its upgrade."""
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    await send(
        {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})
