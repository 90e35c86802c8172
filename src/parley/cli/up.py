"""`parley up`: everything in one. Finds a model, starts the parts under a supervisor, says what it chose."""

import argparse
import asyncio
import contextlib
import importlib.util
import logging
import os
import secrets
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from parley.cli import handoff
from parley.cli.arguments import add_settings, settings_of
from parley.cli.model_search import Choice, search
from parley.cli.nursery import Nursery
from parley.cli.part import FORK_SERVER, Part, parley
from parley.cli.settings import Settings
from parley.cli.sources import Environment, SettingsError
from parley.cli.supervisor import Supervisor, listen
from parley.cli.theme import with_theme
from parley.core.message import Parameters
from parley.models import local_server
from parley.models.secret import Secret
from parley.models.settings import ModelSettings
from parley.store import address
from parley.store.embedded import EmbeddedRedis

POLL = 0.01
# The built-in model's process is started with ours, and on a busy machine listens seconds later: asked for a minute.
STARTING_TRIES = 10
# So small a model repeats itself for ever, or changes the language, unless it is held back.
CALM = Parameters(temperature=0.6, top_p=0.9, frequency_penalty=0.5, max_tokens=400)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All settings that have a flag."""
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Run until told to stop."""
    began = time.monotonic()
    logging.basicConfig(level=logging.WARNING, format="parley: %(message)s")
    settings = with_theme(settings_of(args))
    with listen(settings.host, settings.port) as listener:
        if settings.redis:
            asyncio.run(check_store(settings))
        choice = search(settings, Environment(os.environ, Path.cwd()))
        redis = None if settings.redis else EmbeddedRedis(settings.data)
        url = Secret(redis.url) if redis is not None else settings.redis
        models = choice.models or (builtin_model(),)
        settings = msgspec.structs.replace(settings, redis=url, models=models)
        parts = servers(settings, listener)
        if not choice.models:
            parts.append(model_server(settings))
        nursery = Nursery(fork_server(settings, listener))
        supervisor = Supervisor(
            redis,
            parts,
            workers(settings),
            lambda consumer: free(nursery, consumer),
            lambda: announce(settings, redis, choice, began),
            nursery,
        )
        return asyncio.run(supervisor.run())


async def check_store(settings: Settings) -> None:
    """Refuse a server that cannot be relied on here, once, before every child does so again and again."""
    from parley.cli.access import open_store

    access = await open_store(settings)
    await access.close()


def builtin_model() -> ModelSettings:
    """The built-in model, on a port of its own and with a key that only this deployment knows.

    Raises:
        SettingsError: what runs it is not installed.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        advice = "name one with --model-url URL, or `pip install xllamacpp` for the built-in one"
        raise SettingsError(f"no model was found: {advice}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return ModelSettings(
        name=local_server.MODEL,
        url=f"http://127.0.0.1:{port}",
        model=local_server.MODEL,
        api_key=Secret(secrets.token_urlsafe(24)),
        backend=local_server.BACKEND,
        parameters=CALM,
        tries=STARTING_TRIES,
    )


def servers(settings: Settings, listener: socket.socket) -> list[Part]:
    """The web servers; they share one listening socket."""
    number = listener.fileno()
    return [
        Part(f"web server {at + 1}", parley("serve", "--fd", str(number)), forked=True) for at in range(settings.serves)
    ]


def model_server(settings: Settings) -> Part:
    """The built-in model, which is the first of the models."""
    port = urlsplit(settings.models[0].url).port
    return handed("model server", settings, parley("model-server", "--port", str(port)))


def workers(settings: Settings) -> list[Part]:
    """The workers."""
    return [Part(f"worker {at + 1}", parley("work"), forked=True) for at in range(settings.workers)]


def fork_server(settings: Settings, listener: socket.socket) -> Part:
    """What forks the web servers and the workers, which inherit its settings and its socket."""
    return handed("fork server", settings, FORK_SERVER, listener.fileno())


def handed(name: str, settings: Settings, command: tuple[str, ...], *descriptors: int) -> Part:
    """A part that is handed these settings."""
    handle = handoff.write(settings)
    return Part(name, command, (*descriptors, handle), ((handoff.VARIABLE, str(handle)),))


async def free(nursery: Nursery, consumer: str) -> None:
    """Free the turns of a worker that died.

    Raises:
        ChildProcessError: they could not be, for a reason that was told.
    """
    process = await nursery.fork(parley("evict", consumer))
    if status := await process.wait():
        raise ChildProcessError(f"status {status}")


async def announce(settings: Settings, redis: EmbeddedRedis | None, choice: Choice, began: float) -> None:
    """Say what was chosen, as soon as the web server answers."""
    from importlib.metadata import version

    page = f"http://{_shown(settings.host)}:{settings.port}"
    await _answering(settings)
    if redis is not None:
        store = f"{redis.binary} embedded, data in {_home(settings.data)} (kept)"
    else:
        store = address.redacted(address.normalise(settings.redis.reveal()))
    for note in choice.notes:
        print(f"note   {note}")
    print(f"parley {version('parley')}   page {page}   api {page}/v1")
    print(f"redis  {store}      model  {settings.models[0].name}: {choice.why}")
    print(
        f'ready in {time.monotonic() - began:.1f} s. Try: parley chat "hello"    '
        "Stop: Ctrl-C (waits for replies; again to leave them to the next start)",
        flush=True,
    )


async def _answering(settings: Settings) -> None:
    """Wait until a web server is ready, for as long as that may take."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104
    request = f"GET /readyz HTTP/1.1\r\nHost: {_shown(host)}:{settings.port}\r\nConnection: close\r\n\r\n"
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, settings.port)
            try:
                writer.write(request.encode())
                # To its end, so that nothing of ours is still open when the server is told to go.
                if b" 200 " in (await reader.read()).partition(b"\r\n")[0]:
                    return
            finally:
                writer.close()
        await asyncio.sleep(POLL)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _home(path: Path) -> str:
    """A path as people write it."""
    with contextlib.suppress(ValueError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)
