"""Where the server is and who speaks."""

import ipaddress
import os
from urllib.parse import urlsplit

from parley.client.errors import InvalidRequest

DEFAULT_URL = "http://127.0.0.1:8000"


class Address:
    """A server as a client knows it.

    Args:
        url: http:// or https://, without the `/api`; None takes PARLEY_URL, else this machine's port 8000.
        token: the access key or a session token; None takes PARLEY_TOKEN, "" sends none.

    Attributes:
        default: whether nobody named one.
        reached: whether this process has ever spoken to it. A server that was there is worth waiting for.

    Raises:
        InvalidRequest: the URL or the token cannot be one.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        named = url or os.environ.get("PARLEY_URL")
        self.default = not named
        self.url = (named or DEFAULT_URL).rstrip("/")
        self._token = os.environ.get("PARLEY_TOKEN", "") if token is None else token
        self.reached = False
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018  (a port that is no number is found when it is asked for)
        except ValueError as error:
            raise InvalidRequest(f"{self.url!r} is no URL: {error}.", param="url") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InvalidRequest(f"{self.url!r} is no server's URL: write it like {DEFAULT_URL}.", param="url")
        if parts.username or parts.password:
            raise InvalidRequest("Give the token with --token or PARLEY_TOKEN, not in the URL.", param="url")
        if not self._token.isascii() or not self._token.isprintable() or " " in self._token:
            raise InvalidRequest("The token holds characters that no token has.", param="token")
        self._host = parts.hostname

    def move(self, url: str) -> None:
        """The server is at another address of the same machine."""
        self.url, self.reached = url, False

    @property
    def socket(self) -> str:
        """The URL of the WebSocket."""
        return "ws" + self.url.removeprefix("http") + "/api/socket"

    @property
    def headers(self) -> dict[str, str]:
        """What goes with every request."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine: then no proxy stands between."""
        try:
            return ipaddress.ip_address(self._host).is_loopback
        except ValueError:
            return self._host == "localhost"
