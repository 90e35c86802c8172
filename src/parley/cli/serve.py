"""`parley serve`: a web server. SIGTERM sends its clients to the others, or to its successor, with their cursors."""

import argparse
import asyncio
import logging
import os
from pathlib import Path

from parley.cli.access import Access, access, fit
from parley.cli.arguments import add_settings, settings_of
from parley.cli.model_search import search
from parley.cli.settings import Settings
from parley.cli.sources import Environment
from parley.cli.theme import with_theme
from parley.models.settings import ModelSettings
from parley.server.config import Choice, Config, Store
from parley.server.run import serve
from parley.store.conversations import Conversations
from parley.store.sessions import Sessions

# Requests that may be at the store at once; further ones wait.
CONNECTIONS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings a web server looks at."""
    add_settings(
        parser, "host", "port", "redis", "prefix", "data", "model-url", "model", "embed-origin", "theme", "config"
    )
    parser.add_argument("--fd", type=int, help="serve on this inherited listening socket")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    logging.basicConfig(level=logging.WARNING, format="parley serve: %(message)s")
    settings = with_theme(settings_of(args))
    models = settings.models or search(settings, Environment(os.environ, Path.cwd())).models
    opened = access(settings, asyncio.run(fit(settings)), connections=CONNECTIONS)
    serve(configuration(settings, models), store(settings, opened), fd=args.fd)
    return 0


def configuration(settings: Settings, models: tuple[ModelSettings, ...]) -> Config:
    """What the server is told of the settings."""
    return Config(
        host=settings.host,
        port=settings.port,
        access_key=settings.access_key,
        origins=settings.origins,
        hosts=settings.hosts,
        embed_origin=settings.embed_origin,
        theme=settings.looks,
        root_path=settings.root_path,
        proxies=settings.proxies,
        model_tokens={model.name: model.tokens_per_day for model in models if model.tokens_per_day},
        limits=settings.limits,
        lifetimes=settings.lifetimes,
        models=tuple(Choice(model.name) for model in models),
        assistants=tuple(Choice(assistant.name, assistant.model) for assistant in settings.assistants),
        default=models[0].name if models else "",
        users=settings.users,
        greeting=settings.greeting,
    )


def store(settings: Settings, opened: Access) -> Store:
    """The store as the server uses it."""
    client, keys = opened.client, opened.keys
    conversations = Conversations(client, keys, settings.limits, settings.lifetimes, opened.barrier)
    return Store(opened.blocking, keys, conversations, Sessions(client, keys, settings.lifetimes))
