"""A server's address as people write it, checked before anything connects; its password never shows."""

import re
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit

from msgspec import Struct

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")

# Query parameters of a URL that say where the server is; the rest is ours to set.
QUERY = frozenset({"db", "password", "username"})
# Those of TLS: files, and what is checked.
TLS = frozenset({"ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_password"})
SENTINEL = frozenset({"sentinel_username", "sentinel_password"})

# One prefix may not be a part of a glob pattern, nor hold what Redis takes for a hash tag.
PREFIX = re.compile(r"[^\s{}*?\[\]\\\x00-\x20\x7f]{1,64}")
# One of several hosts: a name, an IPv4 address or a bracketed IPv6 address, and its port.
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:@/\x00-\x20]+)(?::(\d{1,5}))?")
# A service's name is what Redis lets one be, without what a path or a line of text could not hold.
SERVICE = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Watched(Struct, frozen=True):
    """A server that is found by asking sentinels."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    username: str | None  # these two are the sentinels' own
    password: str | None
    server: str  # the URL that a server of this service would have, the service in place of its host

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Watched({self})"

    def __str__(self) -> str:
        hosts = ", ".join(f"{host}:{port}" for host, port in self.sentinels)
        return f"{self.service} (sentinels {hosts})"


class Clustered(Struct, frozen=True):
    """A cluster, by some of its nodes: each knows the others."""

    nodes: tuple[tuple[str, int], ...]
    server: str  # the URL of the first of them; the others differ in host and port

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Clustered({self})"

    def __str__(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self.nodes)


def normalise(text: str, user: str = "", password: str = "") -> str:
    """The URL of a server from what people write: a URL, or ``host:port`` with user and password beside it.

    Raises:
        ValueError: it is none of these. The message never repeats the text, which may hold a password.
    """
    if "://" not in text:
        who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
        text = f"redis://{who}{text}"
    if text.startswith(("redis+sentinel:", "rediss+sentinel:")):
        watched(text)
        return text
    if text.startswith(("redis+cluster:", "rediss+cluster:")):
        clustered(text)
        return text
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("the host or port is malformed") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(
            "it must begin with redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://, or be host:port"
        )
    _check_query(parts.query, tls=parts.scheme == "rediss")
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.hostname:
            raise ValueError("unix:// must be followed by an absolute path")
        return text
    if not parts.hostname or re.search(r"[\s\x00-\x20]", parts.hostname) or port == 0:
        raise ValueError("it names no host, or no port a server can have")
    if not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("its path must be the number of a database")
    return text


def watched(url: str) -> Watched | None:
    """What a URL for sentinels says; None for any other.

    The form: ``redis+sentinel://[user:password@]host[:26379][,host[:26379]...]/service[/db][?sentinel_password=...]``;
    with ``rediss`` the sentinels and the servers are spoken to over TLS.

    Raises:
        ValueError: it is malformed. The message repeats nothing of it.
    """
    authority, parts = _split(url)
    if not parts.scheme.endswith("+sentinel"):
        return None
    who, at, hosts = authority.rpartition("@")
    sentinels = _hosts(hosts, SENTINEL_PORT)
    if not sentinels:
        raise ValueError("it must name its sentinels as host:port,host:port")
    service, _, number = parts.path.removeprefix("/").partition("/")
    if not SERVICE.fullmatch(service) or not re.fullmatch(r"\d*", number):
        raise ValueError("behind the sentinels come the service's name and, if need be, a database: /service/0")
    scheme = parts.scheme.removesuffix("+sentinel")
    query = _check_query(parts.query, tls=scheme == "rediss", more=SENTINEL)
    username, password = (query.pop(name, None) for name in sorted(SENTINEL, reverse=True))
    rest = f"?{urlencode(query)}" if query else ""
    return Watched(sentinels, service, username, password, f"{scheme}://{who}{at}{quote(service)}/{number}{rest}")


def clustered(url: str) -> Clustered | None:
    """What a URL for a cluster says; None for any other.

    The form: ``redis+cluster://[user:password@]host[:6379][,host[:6379]...][/0][?ssl_...]``; with ``rediss`` the nodes
    are spoken to over TLS. A cluster has but one database.

    Raises:
        ValueError: it is malformed. The message repeats nothing of it.
    """
    authority, parts = _split(url)
    if not parts.scheme.endswith("+cluster"):
        return None
    who, at, hosts = authority.rpartition("@")
    nodes = _hosts(hosts, DEFAULT_PORT)
    if not nodes:
        raise ValueError("it must name nodes of the cluster as host:port,host:port")
    scheme = parts.scheme.removesuffix("+cluster")
    query = _check_query(parts.query, tls=scheme == "rediss")
    if parts.path not in ("", "/", "/0") or query.get("db", "0") != "0":
        raise ValueError("a cluster has no databases but 0")
    rest = f"?{urlencode(query)}" if query else ""
    host, port = nodes[0]
    return Clustered(nodes, f"{scheme}://{who}{at}{f'[{host}]' if ':' in host else host}:{port}/0{rest}")


def redacted(url: str) -> str:
    """The URL for printing: no user, no password."""
    authority, parts = _split(url)
    shown = ("db=", *(f"{name}=" for name in TLS - {"ssl_password"}))
    query = "&".join(part for part in parts.query.split("&") if part.startswith(shown))
    return f"{parts.scheme}://{authority.rpartition('@')[2]}{parts.path}{'?' * bool(query)}{query}"


def validate_prefix(prefix: str) -> str:
    """Check the prefix under which every key of a deployment lives.

    Raises:
        ValueError: it is empty, or holds a brace, a space, a wildcard or a control character.
    """
    if not PREFIX.fullmatch(prefix):
        raise ValueError("a prefix is 1 to 64 characters without braces, spaces, wildcards or control characters")
    return prefix


def _split(url: str) -> tuple[str, SplitResult]:
    """A URL's authority, and its other parts. The authority may list hosts: that is no URL's, and `urlsplit` refuses it
    where one of them is an IPv6 address (Python 3.11.12 and later, and earlier ones that were mended).
    """
    scheme, mark, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    return authority, urlsplit(f"{scheme}{mark}{'host' * bool(mark)}{rest[len(authority) :]}")


def _hosts(text: str, port: int) -> tuple[tuple[str, int], ...]:
    """Hosts and ports, separated by commas; none if one of them is malformed."""
    found = [HOST.fullmatch(host) for host in text.split(",")]
    hosts = tuple((host[1].strip("[]"), int(host[2] or port)) for host in found if host)
    return hosts if len(hosts) == len(found) and all(0 < port < 65536 for _, port in hosts) else ()


def _check_query(text: str, *, tls: bool, more: frozenset[str] = frozenset()) -> dict[str, str]:
    """A query's parameters; each may be given once."""
    query = parse_qs(text, keep_blank_values=True)
    if unknown := set(query) - QUERY - TLS - more:
        raise ValueError(f"it may not have the parameter {min(unknown)[:40]!r}")
    if (given := set(query) & TLS) and not tls:
        raise ValueError(f"{min(given)} is for TLS: begin with rediss://")
    for name, allowed in (("ssl_cert_reqs", ("none", "optional", "required")), ("ssl_check_hostname", ("yes", "no"))):
        if name in query and query[name][0] not in allowed:
            raise ValueError(f"{name} must be {', '.join(allowed[:-1])} or {allowed[-1]}")
    if ("ssl_keyfile" in query) and ("ssl_certfile" not in query):
        raise ValueError("ssl_keyfile comes with ssl_certfile")
    return {name: values[0] for name, values in query.items()}
