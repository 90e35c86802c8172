"""`parley doctor`: what was found, and what to do about what was not. Exit status 1 when something needs doing."""

import argparse
import asyncio
import importlib.util
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

from parley.cli.arguments import add_settings, settings_of
from parley.cli.model import directory
from parley.cli.model_search import search
from parley.cli.settings import Settings
from parley.cli.sources import Environment, SettingsError
from parley.core.errors import ParleyError
from parley.store import address
from parley.store.connect import ServerInfo
from parley.store.embedded import EmbeddedRedis, find_binary, live_url, secure_directory
from parley.store.nodes import check, nodes

# Below that a built-in model and a few thousand conversations may not fit.
FREE_BYTES = 500 * 1024 * 1024
# Older 6.2 servers lack security fixes; behind a socket of ours that is bearable, on a network it is not.
FIXED = (6, 2, 20)


class Finding(Struct, frozen=True):
    """One thing looked at. `fix` says what could be done, `bad` that it must be."""

    what: str
    found: str
    fix: str = ""
    bad: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings to look at, as `up` would take them."""
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Look at everything, print a line each."""
    settings = settings_of(args)
    looks = (_python, _settings, _redis, _port, _model, _data)
    findings = [finding for look in looks for finding in _all(look, settings)]
    for each in findings:
        mark = "BAD " if each.bad else "note" if each.fix else "ok  "
        print(f"{mark}  {each.what:9} {each.found}" + (f"\n                fix: {each.fix}" if each.fix else ""))
    return 1 if any(each.bad for each in findings) else 0


def _all(look: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from look(settings)
    except (ParleyError, SettingsError) as error:
        # Our errors say what is wrong and, behind a colon, what to do.
        found, _, fix = str(error).partition(": ")
        yield Finding(look.__name__.removeprefix("_"), found, fix or "see above", bad=True)


def _python(settings: Settings) -> Iterator[Finding]:
    yield Finding("parley", f"{version('parley')} on Python {platform.python_version()}")
    for package, use in {"hiredis": "Redis replies", "uvloop": "everything"}.items():
        if importlib.util.find_spec(package) is None:
            yield Finding("parley", f"{package} is not installed: {use} will be slower", f"pip install {package}")


def _settings(settings: Settings) -> Iterator[Finding]:
    for name, source in sorted(settings.sources.items()):
        yield Finding("setting", f"{name} from {source}")
    if not settings.sources:
        yield Finding("setting", "all defaults")


def _redis(settings: Settings) -> Iterator[Finding]:
    if settings.redis:
        url = address.normalise(settings.redis.reveal())
        info = asyncio.run(_checked(url, settings.prefix))
        fix = "" if info.appends else "appendonly yes in its configuration, or what was said is lost when it restarts"
        disk = "keeps an append-only file" if info.appends else "keeps no append-only file"
        yield Finding("redis", f"{info} at {address.redacted(url)}; {disk}", fix)
        return
    if (running := live_url(settings.data)) is not None:
        info = asyncio.run(_checked(running, settings.prefix))
        yield Finding("redis", f"{info}, embedded, runs now for {settings.data}")
        return
    binary = find_binary()
    old = binary.name == "Redis" and binary.version < FIXED
    fix = "a newer redis-server or valkey-server on PATH is taken instead" if old else ""
    yield Finding("redis", f"{binary} at {binary.path}, to be embedded", fix)


async def _checked(url: str, prefix: str) -> ServerInfo:
    client = nodes(url)
    try:
        return await check(client, prefix)
    finally:
        await client.aclose()


def _port(settings: Settings) -> Iterator[Finding]:
    where = f"{settings.host} port {settings.port}"
    try:
        with socket.create_server((settings.host, settings.port), family=_family(settings.host)):
            yield Finding("port", f"{where} is free")
    except OSError as error:
        if live_url(settings.data) is not None:
            yield Finding("port", f"{where} is in use, probably by the Parley that runs now")
        else:
            yield Finding("port", f"{where}: {error.strerror}", "choose another with --port", bad=True)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _model(settings: Settings) -> Iterator[Finding]:
    choice = search(settings, Environment(os.environ, Path.cwd()))
    for note in choice.notes:
        yield Finding("model", note, "start it, or unset the variable")
    if choice.models:
        names = ", ".join(model.name for model in choice.models[:5])
        more = f" and {len(choice.models) - 5} more" if len(choice.models) > 5 else ""
        yield Finding("model", f"{names}{more}: {choice.why}")
        return
    if importlib.util.find_spec("xllamacpp") is None:
        advice = "--model-url URL, or pip install xllamacpp for the built-in one"
        yield Finding("model", "none was found", advice, bad=True)
        return
    from parley.models import weights

    path = weights.find(directory(settings))
    fix = "" if path else "parley model get (or it is fetched at the first start)"
    yield Finding("model", f"built in (a tiny demo model), {path or 'not fetched yet'}", fix)


def _data(settings: Settings) -> Iterator[Finding]:
    secure_directory(settings.data)
    free = shutil.disk_usage(settings.data).free
    fix = "make room, or choose another directory with --data" if free < FREE_BYTES else ""
    size = sum(path.stat().st_size for path in EmbeddedRedis(settings.data).aof_directory.rglob("*") if path.is_file())
    kept = f"{size / 1e6:.1f} MB of conversations, {free / 1e9:.1f} GB free"
    yield Finding("data", f"{settings.data}: {kept}", fix, bad=bool(fix))
