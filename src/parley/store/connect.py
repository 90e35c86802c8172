"""Connections to Redis, set up once and for all, and the check of the server before anything relies on it.

What differs from redis-py's defaults, and why (each was seen to do harm):
    protocol 2          a third cheaper than 3 on pub/sub, else equal
    no retries          a lost reply made one XADD three entries; our scripts repeat themselves safely instead
    a pool that waits   the default opens a connection for every command under way
    no socket timeout where a command may block, and 5 s elsewhere; keepalive probes find a dead peer there
"""

import contextlib
import os
import re
import ssl
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from parley.core.errors import Unavailable
from parley.store.address import TLS, Watched, clustered, normalise, redacted, validate_prefix, watched
from parley.store.connections import (
    CONNECT_TIMEOUT,
    LocalConnection,
    PlainConnection,
    PrimaryConnection,
    PrimaryPool,
    PrimaryTlsConnection,
    TlsConnection,
)
from parley.store.link import COMMAND_TIMEOUT, code
from parley.store.multiplexer import Multiplexer
from parley.store.sentinels import SentinelRefusal, Sentinels

MINIMUM = (6, 2)
# The first version with WAITAOF.
WAITAOF = (7, 2)

POOL_WAIT = 20.0

# What OpenSSL says of a certificate that no known CA has signed (X509_V_ERR_...).
UNKNOWN_CA = (18, 19, 20, 21)
# What else OpenSSL says, and what then to change.
TLS_ADVICE = {
    "certificate required": ": give it a client certificate, ssl_certfile and ssl_keyfile",
    "unknown ca": ": it does not know the CA of the client certificate",
    "wrong version number": ": it speaks none at this port, begin with redis:// or name its tls-port",
    "record layer failure": ": it speaks none at this port, begin with redis:// or name its tls-port",
    "key values mismatch": ": ssl_keyfile is not the key of ssl_certfile",
}


class Client(Redis):
    """redis-py's client of one server, and the one link that all scripts run over. See `nodes.Nodes`."""

    clustered = False

    @cached_property
    def multiplexer(self) -> Multiplexer:
        """The link."""
        return Multiplexer(self)

    async def of(self, key: bytes) -> "Client":
        """The client of the server that has a key: this one."""
        return self

    def known(self, key: bytes) -> "Client":
        """The same, at once."""
        return self

    def serves(self, client: Redis) -> bool:
        """Whether a client's server is one of these."""
        return True

    async def every(self) -> "list[Client]":
        """The clients of all servers: this one."""
        return [self]

    async def execute(self, key: bytes, *command: Any) -> Any:
        """Run a command about a key over a connection of its own."""
        return await self.execute_command(*command)  # type: ignore[no-untyped-call]

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        await self.multiplexer.close()
        await super().aclose(close_connection_pool)


def connect(url: str, *, connections: int = 32, blocking: bool = False) -> Client:
    """A client for a server; it connects when it is first used.

    Args:
        url: what `address.normalise` takes.
        connections: at most so many at once; whoever needs one more waits for one.
        blocking: for commands that block on the server and for pub/sub: no socket timeout. Such a client must
            never be used for anything else, or a silent network would hold it for ever.

    Raises:
        ValueError: the URL is malformed.
    """
    url = normalise(url)
    if clustered(url):
        raise ValueError("here it must be one server, not a cluster")
    address = watched(url)
    options = pool_options(address.server if address else url, connections=connections, blocking=blocking)
    return client_of(_watched_pool(address, options) if address else _pool(options))


def pool_options(url: str, *, connections: int, blocking: bool) -> dict[str, Any]:
    """What a pool of redis-py's is told of a server and of how to speak to it."""
    where: dict[str, Any] = dict(parse_url(url))
    return where | {
        "max_connections": connections,
        "timeout": POOL_WAIT,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None if blocking else COMMAND_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
    }


def client_of(pool: BlockingConnectionPool) -> Client:
    """A client that owns a pool."""
    client = Client(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def _pool(options: dict[str, Any]) -> BlockingConnectionPool:
    if "path" in options:
        options["connection_class"] = LocalConnection
    else:
        options["connection_class"] = TlsConnection if tls_options(options) else PlainConnection
    return BlockingConnectionPool(**options)


def _watched_pool(address: Watched, options: dict[str, Any]) -> PrimaryPool:
    tls = tls_options(options)
    options["connection_class"] = PrimaryTlsConnection if tls else PrimaryConnection
    del options["host"]
    return PrimaryPool(sentinels=Sentinels(address, tls), **options)


def tls_options(options: dict[str, Any]) -> dict[str, Any]:
    """redis-py's options for TLS among these; none without TLS."""
    if options.get("connection_class") is not SSLConnection:
        return {}
    # Without a password OpenSSL would ask for one on the terminal.
    options.setdefault("ssl_password", "")
    return {"ssl": True} | {name: value for name, value in options.items() if name in TLS}


class ServerInfo(Struct, frozen=True):
    """What the server is."""

    name: str  # "Redis" or "Valkey"
    version: tuple[int, ...]
    appends: bool  # it keeps an append-only file
    cluster: bool
    servers: int = 1  # the primaries of a cluster, of which all this is true

    @property
    def waits_for_disk(self) -> bool:
        """Whether it can say when a write is on its disk (WAITAOF)."""
        return self.appends and self.version >= WAITAOF

    def __str__(self) -> str:
        of = f", a cluster of {self.servers}" if self.cluster else ""
        return f"{self.name} {'.'.join(map(str, self.version))}{of}"


async def check(client: Redis, prefix: str) -> ServerInfo:
    """Make sure that the server can be relied on.

    Raises:
        Unavailable: it cannot; one line says what to change, and never the password.
    """
    where = where_is(client)
    with told(where, client, prefix):
        info = await examine(client, where)
        if info.cluster:
            raise unfit(where, "is a node of a cluster: begin with redis+cluster:// (or rediss+cluster://)")
        await _try_to_write(client, prefix)
    return info


@contextlib.contextmanager
def told(where: str, client: Redis, prefix: str) -> Iterator[None]:
    """What a server refuses, or does not answer, told in one line.

    Raises:
        Unavailable: in place of whatever else is raised.
    """
    try:
        yield
    except SentinelRefusal as error:
        raise Unavailable("redis_refused", f"{where}: {_first_line(error)}") from None
    except exceptions.AuthenticationError as error:
        raise Unavailable("redis_refused", f"{where} refused the user or password: {_first_line(error)}") from None
    except exceptions.ReadOnlyError:
        raise unfit(where, "is a read-only replica: name its primary") from None
    except exceptions.OutOfMemoryError:
        raise unfit(where, "is full: give it more memory (maxmemory)") from None
    except exceptions.BusyLoadingError:
        raise Unavailable("redis_loading", f"{where} is still loading its data: try again") from None
    except exceptions.ResponseError as error:
        if code(str(error)) == "MISCONF":
            raise Unavailable("redis_cannot_write", f"{where} cannot write to its disk: is it full?") from None
        advice = f"the user needs the commands of the reference and the keys and channels {prefix}*"
        raise Unavailable("redis_refused", f"{where} refused: {_first_line(error)}; {advice}") from None
    except (exceptions.RedisError, OSError) as error:
        if (reason := _tls_fault(error)) is not None:
            raise Unavailable("redis_refused", f"{where} cannot be spoken to over TLS: {reason}") from None
        reason = _first_line(error)
        tls = ", does it speak TLS at this port, and take the client certificate" if _speaks_tls(client) else ""
        raise Unavailable("redis_unreachable", f"{where} cannot be reached ({reason}): is it running{tls}?") from None


async def examine(client: Redis, where: str) -> ServerInfo:
    """What the server says of itself.

    Raises:
        Unavailable: it will not do. Or what redis-py raises.
    """
    look_for_files(where, client)
    about: dict[str, Any] = await client.info()
    return _examine(where, about)


def _examine(where: str, about: dict[str, Any]) -> ServerInfo:
    valkey = "valkey_version" in about
    text = str(about["valkey_version" if valkey else "redis_version"])
    version = tuple(map(int, re.findall(r"\d+", text)[:3]))
    if not valkey and version < MINIMUM:
        raise unfit(where, f"is Redis {text}: 6.2 or newer is needed")
    if about.get("role") == "slave" and str(about.get("slave_read_only", "1")) == "1":
        raise unfit(where, "is a read-only replica: name its primary")
    policy = about.get("maxmemory_policy", "noeviction")
    if int(about.get("maxmemory", 0)) and policy != "noeviction":
        raise unfit(where, f"throws data away when it is full: set maxmemory-policy to noeviction, not {policy}")
    return ServerInfo(
        name="Valkey" if valkey else "Redis",
        version=version,
        appends=bool(about.get("aof_enabled")),
        cluster=bool(about.get("cluster_enabled")),
    )


async def _try_to_write(client: Redis, prefix: str) -> None:
    key = f"{validate_prefix(prefix)}check"
    await client.set(key, 1, px=1000)
    await client.delete(key)


def look_for_files(where: str, client: Redis) -> None:
    """See that the files its certificates are in can be read.

    Raises:
        Unavailable: one cannot.
    """
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        path = client.connection_pool.connection_kwargs.get(name)
        if path is not None and not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise Unavailable("redis_refused", f"{where}: {name} names no file that can be read: {path}")


def _speaks_tls(client: Redis) -> bool:
    return issubclass(client.connection_pool.connection_class, SSLConnection)


def _tls_fault(error: BaseException | None) -> str | None:
    """What is wrong with the certificates, and what to change; None when something else is."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is refused: {error.verify_message.rstrip('.')}"
        return f"{reason}; name its CA with ssl_ca_certs" if error.verify_code in UNKNOWN_CA else reason
    if error is None:
        return None
    reason = str(error.reason or _first_line(error)).lower().replace("_", " ")
    return f"{reason}{next((advice for word, advice in TLS_ADVICE.items() if word in reason), '')}"


def where_is(client: Redis) -> str:
    """A server's name in what is told of it."""
    if isinstance(client.connection_pool, PrimaryPool):
        return f"the primary of {client.connection_pool.sentinels.watched}"
    about = client.connection_pool.connection_kwargs
    path = about.get("path")
    return f"Redis at {path or '{}:{}'.format(about.get('host', 'localhost'), about.get('port', 6379))}"


def unfit(where: str, reason: str) -> Unavailable:
    """What is said of a server that answers and will not do."""
    return Unavailable("redis_unfit", f"{where} {reason}")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


__all__ = ["Client", "Redis", "ServerInfo", "check", "connect", "normalise", "redacted", "validate_prefix"]
