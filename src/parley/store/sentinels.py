"""The sentinels of one service: they are asked where its primary is, and connections that lead elsewhere are ended.

Whoever connects asks; and while there are connections the sentinels are asked once a second, as a server that is cut
off or stopped says nothing, and a command that blocks on it would wait for ever while its successor is at work.
"""

import asyncio
import contextlib
import logging
from typing import Any
from weakref import WeakKeyDictionary

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from parley.store.address import Watched

log = logging.getLogger(__name__)

# How long one sentinel may take to answer, and how often they are asked, in seconds.
PATIENCE = 1.0
PERIOD = 1.0

Address = tuple[str, int]


class SentinelRefusal(exceptions.ConnectionError):
    """The sentinels answer, but do not tell; the message says why."""


class Sentinels:
    """Those of one service.

    Args:
        watched: where they are, and which service.
        tls: redis-py's options for TLS, if they are spoken to over it.
    """

    def __init__(self, watched: Watched, tls: dict[str, Any]) -> None:
        self.watched = watched
        self._clients = [
            Redis(
                host=host,
                port=port,
                username=watched.username,
                password=watched.password,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                **tls,
            )
            for host, port in watched.sentinels
        ]
        self._asking: asyncio.Task[Address] | None = None  # one round serves all who ask meanwhile
        self._watching: asyncio.Task[None] | None = None
        self._kept: WeakKeyDictionary[asyncio.StreamWriter, Address] = WeakKeyDictionary()

    async def primary(self) -> Address:
        """Where the primary is now, by the newest configuration any sentinel has.

        Raises:
            SentinelRefusal: they do not know the service, or refuse the password.
            redis.exceptions.ConnectionError: none answers.
        """
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def keep(self, writer: asyncio.StreamWriter, address: Address) -> None:
        """Watch over a connection: it is ended when the primary is elsewhere."""
        self._kept[writer] = address
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching, and close the connections to the sentinels."""
        for task in (self._watching, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for client in self._clients:
            await client.aclose()

    def _asked(self, task: asyncio.Task[Address]) -> None:
        self._asking = None
        # Seen here for the case that all who asked have gone.
        _ = task.cancelled() or task.exception()

    async def _ask(self) -> Address:
        answers = await asyncio.gather(*map(self._ask_one, self._clients), return_exceptions=True)
        found = [answer for answer in answers if isinstance(answer, tuple)]
        if found:
            # One that is cut off from the others would still name the primary before.
            return max(found)[1]
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in errors:
            if isinstance(error, exceptions.AuthenticationError):
                raise SentinelRefusal(f"the sentinels refused the sentinel_password: {error}")
            if isinstance(error, exceptions.ResponseError):
                raise SentinelRefusal(f"the sentinels do not tell: {error}")
        raise exceptions.ConnectionError(f"no sentinel answers: {errors[0]}") from errors[0]

    async def _ask_one(self, client: Redis) -> tuple[int, Address]:
        """The epoch of the configuration that this sentinel has, and the primary's address in it."""
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("SENTINEL", "MASTER", self.watched.service)
            pipeline.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.watched.service)
            about, where = await pipeline.execute(raise_on_error=False)
        for answer in (about, where):
            if isinstance(answer, Exception):
                raise answer
        host, port = where
        fields = dict(zip(about[::2], about[1::2], strict=True))
        return int(fields[b"config-epoch"]), (host.decode(), int(port))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            with contextlib.suppress(exceptions.RedisError, OSError):
                self._cut_all_but(await self.primary())

    def _cut_all_but(self, primary: Address) -> None:
        stale = [writer for writer, address in self._kept.items() if address != primary]
        if stale:
            log.warning("the primary of %s is %s:%d now", self.watched.service, *primary)
        for writer in stale:
            del self._kept[writer]
            writer.transport.abort()
