"""`parley rename`: another title for a conversation."""

import argparse
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and what it is called from now on."""
    parser.add_argument("id", help="of the conversation, or the beginning of it")
    parser.add_argument("title", help="its title from now on")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Rename it."""

    async def work(client: "AsyncClient") -> int:
        from parley.client.terminal.names import resolve

        await client.rename(await resolve(client, args.id), args.title)
        return 0

    return ask(args, work)
