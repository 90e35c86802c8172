"""Outposts: what holds a link to each server of a deployment, one a server, made when it is first needed."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from parley.store.cluster import Cluster
from parley.store.connect import Client
from parley.store.nodes import Nodes
from parley.store.scripts import TRANSIENT


class Outpost(Protocol):
    """Holds a link; `run` returns when its server is none of ours any more."""

    async def run(self) -> None: ...


Kind = TypeVar("Kind", bound=Outpost)


class Outposts(Generic[Kind]):
    """The outposts of one kind.

    Args:
        nodes: the servers.
        make: makes the outpost at a server.
    """

    def __init__(self, nodes: Nodes, make: Callable[[Client], Kind]) -> None:
        self.nodes = nodes
        self._make = make
        self._made: dict[Client, Kind] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def at(self, client: Client) -> Kind:
        """The one at a server."""
        outpost = self._made.get(client)
        if outpost is None:
            outpost = self._made[client] = self._make(client)
            if self._tasks is not None:
                self._tasks.create_task(outpost.run())
        return outpost

    def of(self, key: bytes) -> Kind:
        """The one at the server that has a key, as far as is known."""
        return self.at(self.nodes.known(key))

    async def run(self) -> None:
        """Have them hold their links, for ever."""
        with contextlib.suppress(*TRANSIENT):
            for client in await self.nodes.every():
                self.at(client)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for outpost in self._made.values():
                    self._tasks.create_task(outpost.run())
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None

    def deserted(self, client: Client) -> bool:
        """Whether a server that cannot be reached is none of ours any more; its outpost is forgotten then."""
        if not isinstance(self.nodes, Cluster):
            return False
        self.nodes.doubt()
        if self.nodes.serves(client):
            return False
        self._made.pop(client, None)
        return True
