"""`parley evict`, which the supervisor starts: free the turns of a worker that has died, for whoever comes."""

import argparse
import logging

import uvloop

from parley.cli.arguments import add_settings, settings_of
from parley.cli.settings import Settings
from parley.cli.storage import store_url
from parley.store.keys import Keys
from parley.store.nodes import nodes
from parley.store.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose turns."""
    add_settings(parser, "redis", "prefix", "data", "config")
    parser.add_argument("consumer", help="the worker's name among the consumers")


def run(args: argparse.Namespace) -> int:
    """Free them."""
    logging.basicConfig(level=logging.WARNING, format="parley evict: %(message)s")
    uvloop.run(evict(settings_of(args), args.consumer))
    return 0


async def evict(settings: Settings, consumer: str) -> None:
    """Free the turns of a worker. Raises `Unavailable` when the store does not answer in time."""
    client = nodes(store_url(settings))
    try:
        await Runs(client, client, Keys(settings.prefix, settings.shards), settings.timing, consumer).evict(consumer)
    finally:
        await client.aclose()
