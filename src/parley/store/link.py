"""A link: one connection to Redis on which replies are handed on as they come, with no task or future for each.

For the two places where every token passes, the appender and the bell. redis-py makes the connection, whatever its
address, its password or its TLS; from then on hiredis packs and parses, and nothing stands in between.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
import redis.asyncio

from parley.store.cancelling import heed

log = logging.getLogger(__name__)

# How long a reply may take before the connection is taken for dead, in seconds.
COMMAND_TIMEOUT = 5.0

# What a reply that is an error is handed on as.
Refusal = hiredis.ReplyError

# Refusals of a server that is no primary any more, or is cut off from its replicas: another may have its place.
DEMOTED = ("READONLY", "NOREPLICAS")

# Redis 6.2 wraps what a command inside a script was refused for.
WRAPPING = re.compile(r"(?:ERR )?Error running script \(.*?\): (?:@user_script: ?\d+: )*-?")


def code(message: str) -> str:
    """What a refusal is called: its first word, or that of what a script met with."""
    return WRAPPING.sub("", message, count=1).partition(" ")[0]


def pack(command: Sequence[bytes | str | int | float]) -> bytes:
    """A command as it goes over the connection."""
    return cast("bytes", hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]


class Link(asyncio.Protocol):
    """One connection; make it with `open`.

    Args:
        on_reply: called with each reply, in order: bytes, int, list, None or a `Refusal`.

    `lost` is done when the connection is gone, whoever ended it. It is ended when a reply says that the server is
    no primary any more: the next one may lead to another server.
    """

    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        self._on_reply = on_reply
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._writer: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, client: "redis.asyncio.Redis", on_reply: Callable[[Any], None]) -> "Link":
        """Connect as the client would.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError.
        """
        link = cls(on_reply)
        pool: Any = client.connection_pool
        connection = pool.make_connection()
        try:
            await connection.connect()
        except BaseException:
            # Half made: nobody else closes it.
            await connection.disconnect(nowait=True)
            heed()  # who is told to go once would never hear of it again
            raise
        # Kept, as it closes its transport when it is dropped.
        link._writer = connection._writer
        connection._reader = connection._writer = None
        transport = link._transport = link._writer.transport
        transport.set_protocol(link)
        return link

    def send(self, data: bytes) -> None:
        """Send packed commands. On a link that is lost nothing happens."""
        if self._transport is not None:
            self._transport.write(data)

    def cut(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """End the connection and wait until it is gone."""
        self.cut()
        await asyncio.wait([self.lost], timeout=1)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._on_reply(reply)
                if isinstance(reply, Refusal) and code(str(reply)) in DEMOTED:
                    self.cut()
        except Exception:
            log.exception("what came over a link to the store could not be taken")
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)


__all__ = ["COMMAND_TIMEOUT", "DEMOTED", "Link", "Refusal", "code", "pack"]
