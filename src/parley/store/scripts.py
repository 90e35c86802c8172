"""The scripts: the only writers. Loads the Lua files, runs them, and repeats what may have been lost.

Every script is idempotent, so the one retry loop here may repeat any of them blindly; the Redis client's own
retries are off. A script file names the library files it needs in an ``-- include a b`` line.
"""

import asyncio
import functools
import hashlib
import importlib.resources
import random
import re
import time
from collections.abc import Sequence
from typing import Any

from redis import exceptions
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)

from parley.core.errors import Unavailable
from parley.store.link import code
from parley.store.nodes import Nodes

Value = bytes | str | int | float

TRANSIENT = (exceptions.ConnectionError, exceptions.TimeoutError, OSError, BusyLoadingError, ReadOnlyError)
# Replies of a server that is not itself at the moment; the script did not run.
PASSING = ("LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "NOREPLICAS", "UNBLOCKED", "MISCONF")


# How scripts ring the bell in a cluster: for those who listen at this node, not by way of all other nodes (from Redis 7
# on; docs/design/0010).
PLAIN, SHARDED = "call('PUBLISH',", "call(redis.REDIS_VERSION_NUM and 'SPUBLISH' or 'PUBLISH',"


@functools.cache
def source(name: str, *, clustered: bool = False) -> str:
    """A script's whole text, its includes in front."""
    if clustered:
        return source(name).replace(PLAIN, SHARDED)
    files = importlib.resources.files(__package__) / "scripts"
    text = (files / f"{name}.lua").read_text()
    match = re.search(r"^-- include (.*)$", text, re.MULTILINE)
    parts = match[1].split() if match else []
    return "\n".join([*((files / "lib" / f"{part}.lua").read_text() for part in parts), text])


@functools.cache
def digest(name: str, *, clustered: bool = False) -> str:
    """The SHA-1 under which Redis knows the script."""
    return hashlib.sha1(source(name, clustered=clustered).encode(), usedforsecurity=False).hexdigest()


def is_passing(error: Exception | str) -> bool:
    """Whether the server refused because it is not itself at the moment."""
    return code(str(error)) in PASSING


def cannot_write(error: Exception | str) -> bool:
    """Whether Redis refused a write because its disk takes none: full, or failing."""
    return code(str(error)) == "MISCONF"


def is_out_of_memory(error: Exception | str) -> bool:
    """Whether Redis refused a write because it is at maxmemory."""
    return "OOM" in str(error) or "maxmemory" in str(error)


def unavailable(failure: Exception) -> Unavailable:
    """What a caller is told of a store that cannot be written to."""
    if cannot_write(failure):
        return Unavailable("storage_unavailable", "The store cannot write to its disk.", retry_after=5)
    return Unavailable("store_unreachable", "The store is out of reach.", retry_after=1)


class Scripts:
    """Runs scripts by name, each on the server that has its keys."""

    def __init__(self, client: Nodes) -> None:
        self._multiplexer = client.multiplexer
        self._clustered = client.clustered

    async def once(self, name: str, keys: Sequence[bytes], args: Sequence[Value]) -> Any:
        """Run a script once; errors pass through. A server that does not know the script is told it."""
        try:
            sha = digest(name, clustered=self._clustered)
            return await self._multiplexer.call(("EVALSHA", sha, len(keys), *keys, *args))
        except NoScriptError:
            text = source(name, clustered=self._clustered)
            return await self._multiplexer.call(("EVAL", text, len(keys), *keys, *args))

    async def run(self, name: str, keys: Sequence[bytes], args: Sequence[Value] = (), *, patience: float = 2.0) -> Any:
        """Run a script, repeating it until it surely ran once, for at most `patience` seconds.

        Raises:
            Unavailable: `store_unreachable` (it may or may not have run), `storage_full` or `storage_unavailable`
                (it did not: there is no room in memory, or on disk).
        """
        deadline = time.monotonic() + patience
        delay = 0.01
        while True:
            try:
                return await self.once(name, keys, args)
            except TRANSIENT as error:
                failure: Exception = error
            except ResponseError as error:
                if is_out_of_memory(error):
                    raise Unavailable(
                        "storage_full", "The store is full; nothing was accepted.", retry_after=5
                    ) from error
                if not is_passing(error):
                    raise
                failure = error
            if time.monotonic() + delay > deadline:
                raise unavailable(failure) from failure
            await asyncio.sleep(delay * (1 + random.random()))
            delay = min(delay * 2, 0.2)
