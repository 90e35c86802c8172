"""An endpoint: where an upstream is, and how we say who we are.

The operator's URL may carry credentials (``https://uid:secret@host/v1``). They are taken out here, so that no URL
that is printed, logged or put into an error ever holds them.
"""

import base64
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from msgspec import Struct

from parley.models.secret import Secret


class Endpoint(Struct, frozen=True):
    """A URL without credentials, and the value of the Authorization header; empty: none is sent."""

    url: str
    authorization: Secret


def parse(url: str, api_key: Secret | None = None) -> Endpoint:
    """Check an upstream URL and split its credentials off.

    User information in the URL wins and is sent as Basic; else a given key is sent as Bearer.

    Raises:
        ValueError: the URL is not http(s), has no host, or holds a query, a fragment, spaces or control
            characters. The message never repeats the URL's credentials.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("the upstream URL holds spaces or control characters")
    parts, port = _split(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("the upstream URL must begin with http:// or https://")
    if not parts.hostname or "\\" in parts.netloc:
        raise ValueError("the upstream URL names no host")
    if parts.query or parts.fragment:
        raise ValueError("the upstream URL may not have a query or a fragment")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    bare = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    return Endpoint(bare, _authorization(parts, api_key or Secret()))


def redacted(url: str) -> str:
    """The URL for printing: without credentials, also when it is malformed."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}" if separator else url.rpartition("@")[2]


def chat_base(url: str) -> str:
    """The base of an OpenAI-compatible API, to which ``/chat/completions`` is added.

    A URL without a path gets ``/v1``; any other path is taken as it stands (``/v1``, ``/openai/v1``, ``/api``),
    except that a pasted ``/chat/completions`` at its end is dropped.
    """
    base = url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return base if urlsplit(base).path else f"{base}/v1"


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise ValueError("the upstream URL is malformed (host or port)") from None


def _authorization(parts: SplitResult, api_key: Secret) -> Secret:
    if parts.username is not None or parts.password is not None:
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        pair = f"{user}:{password}".encode()
        return Secret("Basic " + base64.b64encode(pair).decode())
    key = api_key.reveal()
    if not key:
        return Secret()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the API key holds characters that no header can carry")
    return Secret(f"Bearer {key}")
