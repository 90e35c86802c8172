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

from parley.bench.http import Failed
from parley.bench.installation import Running, installation, upstream
from parley.chaos.plan import Plan
from parley.core.errors import Unavailable
from parley.store.connect import connect
from parley.store.embedded import live_url
from parley.store.keys import Keys
from parley.store.overview import look
from parley.store.scripts import TRANSIENT

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
attempts = 1000
attempts_total = 1000
"""
# What an installation is to be told so that it can ask our model.
WANTED = """
[[models]]
name = "{model}"
url = "{url}"
model = "scripted"
backend = "llama.cpp"
"""
PREFIX, SHARDS = "parley:", 16
# Keys that are removed in one go.
BATCH = 500
# How long the last entries of the queues may take to go.
PATIENCE = 15.0
AGAIN = 0.2
# What is left when the store cannot be asked.
UNKNOWN = -1


class Place(Struct, frozen=True):
    """What runs: the installation and the model it asks. `token` opens it; `redis` is not ours to kill."""

    server: Running
    above: Running
    token: str = ""
    redis: str = ""
    prefix: str = PREFIX

    @property
    def headers(self) -> dict[str, str]:
        """What every request bears."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def redis_url(self) -> str:
        """The URL of its Redis; empty when that does not run, or is not known."""
        return self.redis or (self.server.data and live_url(self.server.data)) or ""

    @property
    def ours(self) -> bool:
        """Whether nobody but us does anything to any part of it."""
        return self.server.data is not None and not self.redis

    async def foreign(self) -> int:
        """How often the model was given the beginning of an answer that it cannot have said."""
        root = self.above.url.removesuffix("/v1")
        async with aiohttp.ClientSession() as session, session.get(f"{root}/stats") as answer:
            return int((await answer.json())["stats"]["foreign_partials"])

    async def left(self) -> int:
        """What still waits, runs or is given up once everything has ended; 0 is right.

        Of an installation whose Redis is not known only what it shows can be told: nothing then.
        """
        if not self.server.pid and not self.redis:
            return 0
        until = time.monotonic() + PATIENCE
        while (found := await self._left()) and time.monotonic() < until:
            await asyncio.sleep(AGAIN)
        return found

    async def _left(self) -> int:
        if not self.redis_url:
            return UNKNOWN
        client = connect(self.redis_url, connections=2)
        try:
            seen = await look(client, Keys(self.prefix, SHARDS))
            return seen.waiting + len(seen.running) + seen.dead
        except Unavailable:
            return UNKNOWN
        finally:
            await client.aclose()


@contextlib.asynccontextmanager
async def place(plan: Plan) -> AsyncIterator[Place]:
    """A private Parley as the plan has it, gone afterwards with all it kept. Raises `Failed`."""
    with tempfile.TemporaryDirectory(prefix="parley-chaos-") as name:
        async with contextlib.AsyncExitStack() as stack:
            above = await stack.enter_async_context(upstream("parley.testing.upstream", quiet=True))
            settings = Path(name) / "parley.toml"
            settings.write_text(SETTINGS.format(url=above.url, recovery=plan.recovery))
            numbers = ("--serves", str(plan.servers), "--workers", str(plan.workers))
            variables = only(plan.redis_server, Path(name)) if plan.redis_server else {}
            if plan.redis:
                await stack.enter_async_context(borrowed(plan.redis, plan.prefix))
                # A command line could be read by others, and the URL may hold a password.
                variables = {"PARLEY_REDIS": plan.redis, "PARLEY_PREFIX": plan.prefix}
            running = installation("--config", str(settings), *numbers, variables=variables)
            server = await stack.enter_async_context(running)
            yield Place(server, above, redis=plan.redis, prefix=plan.prefix)


@contextlib.asynccontextmanager
async def borrowed(url: str, prefix: str) -> AsyncIterator[None]:
    """Keys of ours in another's Redis: there are none before the block, and none behind it. Raises `Failed`."""
    try:
        client = connect(url, connections=2)
        standing = [key async for key in client.scan_iter(match=f"{prefix}*", count=BATCH)]
    except (*TRANSIENT, ValueError, Unavailable) as error:
        raise Failed(f"the Redis to use cannot be used: {error}") from None
    if standing:
        await client.aclose()
        raise Failed(f"{len(standing)} keys begin with {prefix!r} there already: choose another --prefix")
    try:
        yield
    finally:
        with contextlib.suppress(*TRANSIENT):
            found = [key async for key in client.scan_iter(match=f"{prefix}*", count=BATCH)]
            for at in range(0, len(found), BATCH):
                await client.unlink(*found[at : at + BATCH])
        await client.aclose()


@contextlib.asynccontextmanager
async def elsewhere(url: str, token: str, model: str, port: int) -> AsyncIterator[Place]:
    """An installation that others run, hurt and end; only the model that it is to ask is ours.

    Raises:
        Failed: it does not answer, or does not know of the model; the message says what to tell it.
    """
    async with upstream("parley.testing.upstream", "--port", str(port), quiet=True) as above:
        made = Place(Running(url.rstrip("/"), 0), above, token=token)
        try:
            async with (
                aiohttp.ClientSession(headers=made.headers) as session,
                session.get(f"{made.server.url}/api/models") as answer,
            ):
                if answer.status != 200:
                    raise Failed(f"{url} answers {answer.status}: {(await answer.text())[:200]}")
                names = [each["name"] for each in (await answer.json())["models"]]
        except aiohttp.ClientError as error:
            raise Failed(f"{url} cannot be reached: {error}") from None
        if model not in names:
            advice = WANTED.format(model=model, url=above.url)
            raise Failed(f"{url} knows no model {model!r}. Add this to its parley.toml, and start it again:\n{advice}")
        yield made


def only(binary: Path, folder: Path) -> dict[str, str]:
    """The variables under which `parley up` finds this server and no other."""
    # By the name that is looked for first, in the first folder of the path.
    (folder / "valkey-server").symlink_to(binary.absolute())
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
