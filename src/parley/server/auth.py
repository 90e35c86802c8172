"""Who speaks: the access key, a session token, a browser's cookie, or on an open loopback server anyone.

Tokens are compared in constant time, and every refusal reads the same.
"""

import contextlib
import hashlib
import hmac
import re
from http.cookies import CookieError, SimpleCookie

from msgspec import Struct
from starlette.datastructures import Headers

from parley.core.errors import Forbidden, Unauthenticated
from parley.models.secret import Secret
from parley.store.sessions import Session, Sessions

SESSION_TOKEN = re.compile(r"tt_[A-Za-z0-9_-]{43}")
SESSION_PREFIX = "tt_"
# The token of a chat of the second seed: a UUID, version 4.
CHAT_TOKEN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
OWNER = "local"


class Principal(Struct, frozen=True):
    """Someone. `token` is the session's, empty for the owner of the access key."""

    owner: str
    name: str
    token: str = ""
    session: Session | None = None

    @property
    def privileged(self) -> bool:
        """Whether this is the owner of the deployment."""
        return self.owner == OWNER


LOCAL = Principal(OWNER, OWNER)


class Auth:
    """Tells principals.

    Args:
        access_key: empty: the server is open, to whoever reaches it.
    """

    def __init__(self, access_key: Secret, sessions: Sessions) -> None:
        self._key = access_key
        self._sessions = sessions
        # What a browser's cookie holds instead of the key; whoever steals it cannot show it as the key.
        self._badge = hmac.digest(access_key.reveal().encode(), b"parley cookie", "sha256").hex()

    @property
    def open(self) -> bool:
        """Whether anyone who says nothing is the owner."""
        return not self._key

    async def of_headers(self, headers: Headers, *, cookies: bool) -> Principal | None:
        """Who sends these headers; None: nobody says so.

        Args:
            cookies: whether a cookie may count (the request comes from a page of ours).

        Raises:
            Unauthenticated: the credentials are malformed, unknown or over.
        """
        given = headers.getlist("authorization")
        if len(given) > 1:
            raise refused()
        if given:
            scheme, _, token = given[0].partition(" ")
            if scheme.lower() == "bearer":
                return await self.of_token(token.strip(" "))
            if not self.open:
                raise refused()
        elif cookies and (found := await self._of_cookie(cookie_value(headers))):
            return found
        return LOCAL if self.open else None

    async def of_token(self, token: str) -> Principal:
        """Who shows this token.

        Raises:
            Unauthenticated: it is malformed, unknown or over.
        """
        if not self.open and same(token, self._key.reveal()):
            return LOCAL
        if names_session(token):
            return await self._of_session(token)
        if self.open:
            return LOCAL
        raise refused()

    async def cookie_for(self, token: str) -> str:
        """What a browser that shows this token is to keep.

        Raises:
            Unauthenticated: it is malformed, unknown or over.
        """
        principal = await self.of_token(token)
        return principal.token or self._badge

    async def _of_cookie(self, value: str) -> Principal | None:
        # A browser cannot help sending a cookie that is over: it counts as none.
        if names_session(value):
            with contextlib.suppress(Unauthenticated):
                return await self._of_session(value)
        return LOCAL if value and same(value, self._badge) else None

    async def _of_session(self, token: str) -> Principal:
        known = SESSION_TOKEN.fullmatch(token) or CHAT_TOKEN.fullmatch(token)
        session = await self._sessions.find(token) if known else None
        if session is None:
            raise refused()
        return principal_of_session(session, token)


def names_session(token: str) -> bool:
    """Whether a token can only be a session's, alive or not: then it is never taken for anything else."""
    return token.startswith(SESSION_PREFIX) or CHAT_TOKEN.fullmatch(token) is not None


def principal_of_session(session: Session, token: str) -> Principal:
    """Whom a session stands for."""
    return Principal(f"session:{session.id}", session.name, token, session)


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far."""
    return hmac.compare_digest(hashlib.sha256(one.encode()).digest(), hashlib.sha256(other.encode()).digest())


def refused() -> Unauthenticated:
    """The one refusal."""
    return Unauthenticated("not_authenticated", "A valid access key or session token is needed.")


def cookie_name(host: str) -> str:
    """The cookie's name: cookies do not tell ports apart, and several servers may share a host."""
    port = host.rpartition(":")[2]
    return f"parley_{port}" if port.isdigit() else "parley"


def cookie_value(headers: Headers) -> str:
    """What the browser kept for us; empty: nothing."""
    jar: SimpleCookie = SimpleCookie()
    for line in headers.getlist("cookie"):
        try:
            jar.load(line)
        except CookieError:
            return ""
    found = jar.get(cookie_name(headers.get("host", "")))
    return found.value if found is not None and TOKEN.fullmatch(found.value) else ""


def from_our_page(headers: Headers, method: str) -> bool:
    """Whether a request comes from a page that may speak to us, so that its cookie counts.

    A foreign `Origin` never comes so far (server.gate). Browsers leave the header out only on reads from the same
    origin, and there say so in `Sec-Fetch-Site`, or are too old to say anything.
    """
    if "origin" in headers:
        return True
    return method in ("GET", "HEAD") and headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def require_our_page(headers: Headers) -> None:
    """Refuse a request that is carried by a cookie alone from nobody knows where.

    Raises:
        Forbidden: `origin_required`.
    """
    if cookie_value(headers) and "authorization" not in headers and "origin" not in headers:
        raise Forbidden("origin_required", "A cookie counts only with an Origin that is allowed.")
