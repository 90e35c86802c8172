"""Parley inside a program of your own: an ASGI application to mount in FastAPI, Starlette or any other."""

import asyncio
import contextlib
import difflib
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec

from parley.cli.access import Access, access, fit
from parley.cli.model_search import search
from parley.cli.serve import CONNECTIONS, configuration, store
from parley.cli.settings import FOUND, Settings, load
from parley.cli.sources import Environment, SettingsError, Value
from parley.cli.theme import with_theme
from parley.cli.work import assemble
from parley.core.errors import Forbidden, Unavailable
from parley.models.python import REGISTERED
from parley.models.registry import Models
from parley.models.secret import Secret
from parley.models.settings import ModelSettings
from parley.server import app as server
from parley.server.errors import respond
from parley.server.gate import refuse
from parley.server.run import is_loopback
from parley.store.embedded import EmbeddedRedis
from parley.store.runs import Runs

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Between two starts of a worker, or a Redis of ours, that failed.
AGAIN = 1.0
POLL = 0.01


class App:
    """The API, the WebSocket, the event streams and `/v1` of a Parley server, and workers beside them.

        chat = App(redis="redis://...", prefix="shop:")
        app = FastAPI(lifespan=chat.lifespan)
        app.mount("/chat", chat)

    It starts with the program that is given its `lifespan`, else with the first request; it may also be run as it is
    (``uvicorn shop:chat``). Without an `access_key` it answers this machine alone.

    Args:
        workers: how many answer in this process, `concurrency` turns each; 0: none, `parley work` does it elsewhere.
        settings: any setting of `parley config`, by name, over those of the environment and of parley.toml. Without
            `redis` a server of its own is started on the directory `data`, for this process alone. Models are the
            functions that were registered with `@model`, and those that are named or found as `parley up` finds them.

    Raises:
        TypeError: there is no such setting.
        SettingsError: a setting cannot be used.
    """

    def __init__(self, *, workers: int = 1, **settings: object) -> None:
        known = [name for name in Settings.__struct_fields__ if name not in (*FOUND, "workers")]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise TypeError(f"App() has no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        given = {name: Value(value, "App()") for name, value in {**settings, "workers": workers}.items()}
        self._settings = with_theme(load(given, os.environ, Path.cwd()))
        self._running: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[server.App] | None = None
        self._stopped: asyncio.Event | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Start with a program and stop with it: what FastAPI's and Starlette's `lifespan` takes."""
        await self._start()
        try:
            yield
        finally:
            await self._stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        made = await self._start()
        if not self._settings.access_key and not is_loopback((scope.get("client") or ("",))[0]):
            message = "This server has no access key, and answers its own machine alone."
            await refuse(respond(Forbidden("access_key_required", message)), scope, receive, send)
            return
        await made.app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> server.App:
        """What serves, once it does; started if it was not."""
        if self._ready is None or (self._ready.done() and self._ready.exception() is not None):
            self._ready = asyncio.get_running_loop().create_future()
            self._stopped = asyncio.Event()
            self._running = asyncio.create_task(self._run(self._ready, self._stopped), name="parley")
        return await asyncio.shield(self._ready)

    async def _stop(self) -> None:
        if self._running is not None and self._stopped is not None:
            self._stopped.set()
            await self._running
        self._ready = self._running = None

    async def _run(self, ready: "asyncio.Future[server.App]", stopped: asyncio.Event) -> None:
        """All of it, from start to stop."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                settings = await stack.enter_async_context(_with_redis(self._settings))
                models = await asyncio.to_thread(_models, settings)
                info = await fit(settings)
                opened = access(settings, info, connections=CONNECTIONS)
                stack.push_async_callback(opened.close)
                made = server.App(configuration(settings, models), store(settings, opened))
                await stack.enter_async_context(made.lifespan())
                for _ in range(settings.workers):
                    await stack.enter_async_context(_working(settings, access(settings, info), models))
                ready.set_result(made)
                await stopped.wait()
                made.drain()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error if isinstance(error, Exception) else RuntimeError("stopped while it started"))


@contextlib.asynccontextmanager
async def _with_redis(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a store: the server that is named, else one of our own while this lasts."""
    if settings.redis:
        yield settings
        return
    redis = EmbeddedRedis(settings.data)
    keeping: asyncio.Task[None] | None = None
    try:
        await _start_redis(redis)
        keeping = asyncio.create_task(_keep(redis))
        yield msgspec.structs.replace(settings, redis=Secret(redis.url))
    finally:
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.to_thread(redis.stop)


async def _start_redis(redis: EmbeddedRedis) -> None:
    await asyncio.to_thread(redis.prepare)
    redis.spawn()
    while not redis.answers():
        await asyncio.sleep(POLL)


async def _keep(redis: EmbeddedRedis) -> None:
    """Start it again when it dies, on what it kept."""
    while True:
        await asyncio.sleep(AGAIN)
        if not redis.alive():
            log.warning("redis-server ended; starting it again")
            with contextlib.suppress(Unavailable):
                await _start_redis(redis)


@contextlib.asynccontextmanager
async def _working(settings: Settings, opened: Access, models: tuple[ModelSettings, ...]) -> AsyncIterator[None]:
    """A worker in this process, while this lasts; in the end its replies are handed over."""
    leave = asyncio.Event()
    made = Models(models)
    name = f"{socket.gethostname()}-{secrets.token_hex(6)}"

    async def work() -> None:
        while not leave.is_set():
            runs = Runs(opened.client, opened.blocking, opened.keys, settings.timing, name)
            try:
                await assemble(settings, opened, made, runs, None).serve(leave, asyncio.Event())
            except Exception:
                log.exception("a worker failed; another one follows")
                await asyncio.sleep(AGAIN)

    working = asyncio.create_task(work(), name="parley worker")
    try:
        yield
    finally:
        leave.set()
        await asyncio.gather(working, return_exceptions=True)
        await made.close()
        await opened.close()


def _models(settings: Settings) -> tuple[ModelSettings, ...]:
    """The functions of this program, and what else is named; the one that `model` names comes first.

    Raises:
        SettingsError: there is none.
    """
    own = [ModelSettings(name=name, kind="python", model=name) for name in REGISTERED]
    own.sort(key=lambda each: each.name != settings.model)
    if own and not settings.model_url and not settings.models:
        return tuple(own)
    found = search(settings, Environment(os.environ, Path.cwd())).models
    if not found:
        raise SettingsError(
            "no model was found: name one with model_url=..., or register a function with @parley.model"
        )
    return (*found, *own)
