"""A server's address as people write it, checked before anything connects; its password never shows."""

import re
from urllib.parse import parse_qs, quote, urlsplit

DEFAULT_PORT = 6379

# Query parameters of a URL that say where the server is; the rest is ours to set.
QUERY = frozenset({"db", "password", "username", "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})

# One prefix may not be a part of a glob pattern, nor hold what Redis takes for a hash tag.
PREFIX = re.compile(r"[^\s{}*?\[\]\\\x00-\x20\x7f]{1,64}")


def normalise(text: str, user: str = "", password: str = "") -> str:
    """The URL of a server from what people write: a URL, or ``host:port`` with user and password beside it.

    Raises:
        ValueError: it is none of these. The message never repeats the text, which may hold a password.
    """
    if "://" not in text:
        who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
        text = f"redis://{who}{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("the host or port is malformed") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("it must begin with redis://, rediss:// or unix://, or be host:port")
    if unknown := set(parse_qs(parts.query, keep_blank_values=True)) - QUERY:
        raise ValueError(f"it may not have the parameter {min(unknown)[:40]!r}")
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.hostname:
            raise ValueError("unix:// must be followed by an absolute path")
        return text
    if not parts.hostname or re.search(r"[\s\x00-\x20]", parts.hostname) or port == 0:
        raise ValueError("it names no host, or no port a server can have")
    if not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("its path must be the number of a database")
    return text


def redacted(url: str) -> str:
    """The URL for printing: no user, no password."""
    parts = urlsplit(url)
    query = "&".join(part for part in parts.query.split("&") if part.startswith(("db=", "ssl_")))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{'?' * bool(query)}{query}"


def validate_prefix(prefix: str) -> str:
    """Check the prefix under which every key of a deployment lives.

    Raises:
        ValueError: it is empty, or holds a brace, a space, a wildcard or a control character.
    """
    if not PREFIX.fullmatch(prefix):
        raise ValueError("a prefix is 1 to 64 characters without braces, spaces, wildcards or control characters")
    return prefix
