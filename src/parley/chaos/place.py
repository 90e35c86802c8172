"""The place: a private Parley that asks the scripted upstream, and what is left in its store when all is said."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from msgspec import Struct

from parley.bench.installation import Running, installation, upstream
from parley.chaos.plan import Plan
from parley.core.errors import Unavailable
from parley.store.connect import connect
from parley.store.embedded import live_url
from parley.store.keys import Keys
from parley.store.overview import look

# A lease so short that a stopped worker is missed soon; no turn is given up, however often its worker dies.
SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"
recovery = "{recovery}"

[timing]
lease = 2.0
scan = 0.25
attempts_total = 1000
"""
PREFIX, SHARDS = "parley:", 16
# How long the last entries of the queues may take to go.
PATIENCE = 15.0
AGAIN = 0.2
# What is left when the store cannot be asked.
UNKNOWN = -1


class Place(Struct, frozen=True):
    """What runs: the installation and the model it asks."""

    server: Running
    above: Running

    @property
    def redis_url(self) -> str:
        """The URL of its Redis; empty when that does not run."""
        return (self.server.data and live_url(self.server.data)) or ""

    async def foreign(self) -> int:
        """How often the model was given the beginning of an answer that it cannot have said."""
        root = self.above.url.removesuffix("/v1")
        async with aiohttp.ClientSession() as session, session.get(f"{root}/stats") as answer:
            return int((await answer.json())["stats"]["foreign_partials"])

    async def left(self) -> int:
        """What still waits, runs or is given up once everything has ended; 0 is right."""
        until = time.monotonic() + PATIENCE
        while (found := await self._left()) and time.monotonic() < until:
            await asyncio.sleep(AGAIN)
        return found

    async def _left(self) -> int:
        if not self.redis_url:
            return UNKNOWN
        client = connect(self.redis_url, connections=2)
        try:
            seen = await look(client, Keys(PREFIX, SHARDS))
            return seen.waiting + len(seen.running) + seen.dead
        except Unavailable:
            return UNKNOWN
        finally:
            await client.aclose()


@contextlib.asynccontextmanager
async def place(plan: Plan) -> AsyncIterator[Place]:
    """A private Parley as the plan has it, gone afterwards with all it kept. Raises `Failed`."""
    with tempfile.TemporaryDirectory(prefix="parley-chaos-") as name:
        async with upstream("parley.testing.upstream", quiet=True) as above:
            settings = Path(name) / "parley.toml"
            settings.write_text(SETTINGS.format(url=above.url, recovery=plan.recovery))
            numbers = ("--serves", str(plan.servers), "--workers", str(plan.workers))
            variables = only(plan.redis_server, Path(name)) if plan.redis_server else {}
            async with installation("--config", str(settings), *numbers, variables=variables) as server:
                yield Place(server, above)


def only(binary: Path, folder: Path) -> dict[str, str]:
    """The variables under which `parley up` finds this server and no other."""
    # By the name that is looked for first, in the first folder of the path.
    (folder / "valkey-server").symlink_to(binary.absolute())
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
