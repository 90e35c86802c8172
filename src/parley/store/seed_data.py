"""The seeds' own data in Redis, read and never touched: lists of the course, sessions of the tutorial."""

import re
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

from msgspec import Struct
from redis.exceptions import RedisError, ResponseError

from parley.core.errors import Forbidden, ParleyError, Unavailable
from parley.store.connect import Client
from parley.store.nodes import Nodes
from parley.store.scripts import TRANSIENT
from parley.wire.old_seeds import Said, parse_item, parse_session

Seed = Literal["course", "tutorial"]

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
UUID_GLOB = "-".join("?" * length for length in (8, 4, 4, 4, 12))

# What a user needs here, beside what Parley needs; `scan` to look for keys, `json.get` where there is the module.
READS = ("get", "lrange", "pttl", "scan", "type")

# How long either seed lets its data live, in milliseconds: what is left of it tells when it was last used.
DAY = 86_400_000


class Old(Struct, frozen=True):
    """A conversation of a seed. `key` is where it lies, `unread` counts what makes no sense there.

    The course's have neither a `name` nor a beginning (`started`, unix seconds).
    """

    seed: Seed
    key: str
    said: tuple[Said, ...]
    unread: int = 0
    name: str = ""
    started: float = 0.0


class SeedData:
    """What two seeds left in one database.

    Every method raises Unavailable when the server is out of reach, and Forbidden for what the user may not do there.

    Args:
        prefix: the course's, with its colon: ``msciab:``.
    """

    def __init__(self, client: Nodes, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def seed_of(self, key: str) -> Seed | None:
        """Whose key this is, by its form; None: neither's."""
        if re.fullmatch(UUID, key):
            return "tutorial"
        form = rf"{re.escape(self._prefix)}(assistant:|:){UUID}"
        return "course" if re.fullmatch(form, key) else None

    async def keys(self, seed: Seed) -> AsyncIterator[str]:
        """The keys that may be a seed's, in no order, each once; `read` tells.

        Raises:
            Forbidden: the user may not look for keys; they have to be named.
        """
        patterns = [f"{self._prefix}{middle}{UUID_GLOB}" for middle in ("assistant:", ":")]
        try:
            servers = await self._client.every()
        except RedisError as error:
            raise _failure("SCAN", error) from error
        for pattern in patterns if seed == "course" else [UUID_GLOB]:
            seen: set[bytes] = set()
            for server in servers:
                async for key in self._scan(server, pattern):
                    if key not in seen:
                        seen.add(key)
                        yield key.decode(errors="replace")

    async def _scan(self, server: Client, pattern: str) -> AsyncIterator[bytes]:
        cursor: Any = 0
        while True:
            try:
                reply: Any = await server.execute_command("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)  # type: ignore[no-untyped-call]
            except (RedisError, OSError) as error:
                raise _failure("SCAN", error) from error
            cursor, found = reply
            for key in found:
                yield key
            if int(cursor) == 0:
                return

    async def read(self, key: str) -> Old | None:
        """What lies under a key; None: nothing (any more), or nothing of a seed's."""
        kind = await self._ask("TYPE", key)
        kind = kind if isinstance(kind, str) else kind.decode()
        match self.seed_of(key), kind:
            case "course", "list":
                return await self._course(key)
            case "tutorial", "string":
                return self._tutorial(key, await self._ask("GET", key))
            case "tutorial", "ReJSON-RL":
                return self._tutorial(key, await self._ask("JSON.GET", key))
            case _:
                return None

    async def _course(self, key: str) -> Old:
        items = await self._ask("LRANGE", key, 0, -1)
        left = await self._ask("PTTL", key)
        now = int(time.time() * 1000)
        at = now - (DAY - left) if 0 < left <= DAY else now
        found = [message for item in items if (message := parse_item(item)) is not None]
        return Old("course", key, tuple(Said(message, at) for message in found), len(items) - len(found))

    def _tutorial(self, key: str, data: bytes | str | None) -> Old | None:
        raw = data.encode() if isinstance(data, str) else data or b""
        session = parse_session(raw, int(time.time() * 1000))
        if session is None:
            return None
        return Old("tutorial", key, session.said, session.unread, session.name, session.started)

    async def _ask(self, name: str, key: str, *more: Any) -> Any:
        try:
            return await self._client.execute(key.encode(), name, key, *more)
        except (RedisError, OSError) as error:
            raise _failure(name, error) from error


def _failure(name: str, error: Exception) -> ParleyError:
    if isinstance(error, TRANSIENT):
        return Unavailable("store_unreachable", "The old data's server is out of reach.", retry_after=1)
    if isinstance(error, ResponseError):
        return Forbidden("redis_refused", f"{name} was refused: {str(error).partition(chr(10))[0]}")
    return Unavailable("store_unreachable", f"The old data cannot be read: {type(error).__name__}.")
