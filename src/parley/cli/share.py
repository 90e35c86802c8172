"""`parley share`: a link by which anyone can read a conversation."""

import argparse
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which, or that there is to be none any more."""
    parser.add_argument("id", help="of the conversation, or the beginning of it")
    parser.add_argument("--revoke", action="store_true", help="end its link at once, for those who read now too")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Print the link; a new one ends the one before."""

    async def work(client: "AsyncClient") -> int:
        from parley.client.terminal.names import resolve

        name = await resolve(client, args.id)
        if args.revoke:
            await client.unshare(name)
        else:
            print(await client.share(name))
        return 0

    return ask(args, work)
