"""redis-py's connections, made to leave a server that is no primary any more, and to find the one that is."""

import asyncio
from typing import Any
from weakref import WeakSet

from redis import exceptions
from redis.asyncio.connection import (
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from parley.store.link import DEMOTED, code
from parley.store.sentinels import Sentinels

CONNECT_TIMEOUT = 5.0


class BoundedConnection(AbstractConnection):
    """One whose handshake takes no longer than `CONNECT_TIMEOUT`, also where replies may be waited for for ever.

    A refusal that says that the server was demoted ends it.
    """

    async def connect(self) -> None:
        """Part of redis-py's connection.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError.
        """
        if self.is_connected:
            return
        try:
            # A server that was stopped takes the connection, and says nothing.
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await super().connect()  # type: ignore[no-untyped-call]
        except BaseException as error:
            await self.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise exceptions.TimeoutError("the server does not answer") from None
            raise

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Part of redis-py's connection."""
        try:
            return await super().read_response(*args, **options)
        except exceptions.ResponseError as error:
            if isinstance(error, exceptions.ReadOnlyError) or code(str(error)) in DEMOTED:
                await self.disconnect(nowait=True)
            raise


class LocalConnection(BoundedConnection, UnixDomainSocketConnection):
    """One over a unix socket."""


class PlainConnection(BoundedConnection, Connection):
    """One to a named server; the name is resolved anew for each."""


class TlsConnection(PlainConnection, SSLConnection):
    """The same, over TLS."""


class NodeConnection(PlainConnection):
    """One to a node of a cluster, which is told of it, and may end it."""

    def __init__(self, *, writers: WeakSet[asyncio.StreamWriter], **options: Any) -> None:
        super().__init__(**options)
        self._writers = writers

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        assert self._writer is not None
        self._writers.add(self._writer)


class NodeTlsConnection(NodeConnection, SSLConnection):
    """The same, over TLS."""


class PrimaryConnection(PlainConnection):
    """One to the primary that sentinels name at the time it is made."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels

    async def connect(self) -> None:
        """Part of redis-py's connection.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError.
        """
        if self.is_connected:
            return
        self.host, self.port = await self._sentinels.primary()
        await super().connect()

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        assert self._writer is not None
        self._sentinels.keep(self._writer, (self.host, self.port))

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Part of redis-py's connection: refuses a server that is a replica."""
        await super().on_connect_check_health(check_health)
        await self.send_command("INFO", "replication", check_health=False)
        if b"role:master" not in await self.read_response():
            raise exceptions.ConnectionError(f"{self.host}:{self.port} is a replica, a failover may be under way")


class PrimaryTlsConnection(PrimaryConnection, SSLConnection):
    """The same, over TLS."""


class PrimaryPool(BlockingConnectionPool):
    """The pool of such connections."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(sentinels=sentinels, **options)
        self.sentinels = sentinels

    async def aclose(self) -> None:
        """Close all connections, and those to the sentinels."""
        await super().aclose()
        await self.sentinels.close()
