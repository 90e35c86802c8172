"""A visit: what is known of the request or connection under way, wherever in it one asks.

The gate begins it. It is the one thing here that is not handed from function to function: every way in would have to
carry it to the one place where messages are posted, and a way that forgot would be without limits.
"""

import ipaddress
import math
from contextvars import ContextVar

from starlette.types import Scope

from parley.core.quota import Standing

# How someone stands, as OpenAI's API tells it.
HEADERS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


class Visit:
    """One request, or one connection of a socket.

    `address` is the peer's, or what a proxy that is listed says of it; empty: this machine's own, or nobody's.
    `standing` is how whoever speaks stands by their rates, once they have posted.
    """

    __slots__ = ("address", "standing")

    def __init__(self, address: str = "") -> None:
        self.address = address
        self.standing: Standing | None = None


_nobody = Visit()
_visit: ContextVar[Visit] = ContextVar("visit", default=_nobody)


def begin(scope: Scope) -> Visit:
    """Begin the visit of an ASGI scope."""
    client = scope.get("client")
    made = Visit(network_of(client[0]) if client else "")
    _visit.set(made)
    return made


def current() -> Visit:
    """The visit under way."""
    return _visit.get()


def network_of(host: str) -> str:
    """Whom limits by address count as one: an IPv4 address, or the /64 a customer has of IPv6.

    Empty for this machine's own, and for what is no address.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return "" if address.is_loopback else str(ipaddress.ip_network((int(address), 64), strict=False))
        address = address.ipv4_mapped
    return "" if address.is_loopback else str(address)


def headers_of(standing: Standing) -> list[tuple[bytes, bytes]]:
    """How someone stands, as headers."""
    values = (f"{standing.limit}", f"{standing.remaining}", f"{math.ceil(standing.reset)}s")
    return [(name.encode(), value.encode()) for name, value in zip(HEADERS, values, strict=True)]
