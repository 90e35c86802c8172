"""A multiplexer: commands of many tasks over one link, each task waiting for its own reply.

Nothing that blocks on the server may go over it. A task that gives up leaves its reply to be dropped, and takes
nothing from the others.
"""

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis import exceptions

from parley.store.cancelling import cancel
from parley.store.link import COMMAND_TIMEOUT, Link, Refusal, code, pack


class Redirection(exceptions.ResponseError):
    """Another node of the cluster has the key; the message names it."""


class Unserved(exceptions.ConnectionError):
    """The cluster does not serve the key at the moment; nothing was done."""


# Refusals that have a class of their own; the others are a ResponseError.
CLASSES: dict[str, type[exceptions.RedisError]] = {
    "ASK": Redirection,
    "CLUSTERDOWN": Unserved,
    "MOVED": Redirection,
    "TRYAGAIN": Unserved,
    "NOSCRIPT": exceptions.NoScriptError,
    "LOADING": exceptions.BusyLoadingError,
    "READONLY": exceptions.ReadOnlyError,
}


# What a server calls itself from its start to its end.
RUN = re.compile(rb"^run_id:(\w+)", re.MULTILINE)


class Multiplexer:
    """The shared link of one client.

    Attributes:
        server: the run of the server that gave the last reply; another one may have lost what this one acknowledged.
    """

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self.server = b""
        self._client = client
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None  # one attempt serves all who wait for it
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._heard = 0.0  # when the last reply came, or the first command since all were answered was sent
        self._watch: asyncio.TimerHandle | None = None

    async def call(self, command: Sequence[bytes | str | int | float]) -> Any:
        """Send a command and wait for its reply: bytes, int, list or None.

        Raises:
            redis.exceptions.ConnectionError: it may or may not have run.
            redis.exceptions.ResponseError: it was refused.
            OSError, redis.exceptions.TimeoutError: there is no connection.
        """
        link = self._link or await self._opened()
        answer = await self._send(link, command)
        if isinstance(answer, Refusal):
            raise refusal(str(answer))
        return answer

    async def ask(self, command: Sequence[bytes | str | int | float]) -> Any:
        """The same to a node that takes a key over, for this command only (ASKING, of the cluster specification)."""
        link = self._link or await self._opened()
        self._send(link, ("ASKING",))
        answer = await self._send(link, command)
        if isinstance(answer, Refusal):
            raise refusal(str(answer))
        return answer

    def _send(self, link: Link, command: Sequence[bytes | str | int | float]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            self._heard = loop.time()
        self._waiting.append(reply)
        link.send(pack(command))
        if self._watch is None:
            self._watch = loop.call_later(COMMAND_TIMEOUT, self._look)
        return reply

    async def close(self) -> None:
        """Close the link."""
        if self._opening is not None:
            await cancel(self._opening)
        if self._link is not None:
            await self._link.close()

    async def _opened(self) -> Link:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            # Seen here for the case that all who asked have gone.
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Link:
        try:
            link = await Link.open(self._client, self._take)
            link.lost.add_done_callback(self._lose)
            self._link = link
            about = await self._send(link, ("INFO", "server"))
            if isinstance(about, Refusal):
                raise refusal(str(about))
            found = RUN.search(about)
            self.server = found[1] if found else b""
            return link
        finally:
            self._opening = None

    def _take(self, answer: Any) -> None:
        self._heard = asyncio.get_running_loop().time()
        reply = self._waiting.popleft()
        if not reply.done():
            reply.set_result(answer)

    def _lose(self, _: asyncio.Future[None]) -> None:
        self._link = None
        waiting, self._waiting = self._waiting, deque()
        for reply in waiting:
            if not reply.done():
                reply.set_exception(exceptions.ConnectionError("the connection was lost"))

    def _look(self) -> None:
        """Cut a link that does not answer."""
        self._watch = None
        if not self._waiting or self._link is None:
            return
        loop = asyncio.get_running_loop()
        wait = self._heard + COMMAND_TIMEOUT - loop.time()
        if wait <= 0:
            self._link.cut()
        else:
            self._watch = loop.call_later(wait, self._look)


def refusal(message: str) -> exceptions.RedisError:
    """A reply that is an error, as an exception."""
    return CLASSES.get(code(message), exceptions.ResponseError)(message)
