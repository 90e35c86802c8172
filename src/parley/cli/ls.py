"""`parley ls`: your conversations."""

import argparse
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many, and in what form."""
    parser.add_argument("-n", "--number", type=number, default=20, metavar="N", help="at most so many (20); 0: all")
    parser.add_argument("--json", action="store_true", help="an object a line")
    add_server(parser)


def number(text: str) -> int:
    """How many.

    Raises:
        ValueError: it is no number from 0 on.
    """
    if (value := int(text)) < 0:
        raise ValueError(text)
    return value


def run(args: argparse.Namespace) -> int:
    """List them, the one last spoken in first."""

    async def work(client: "AsyncClient") -> int:
        from parley.client.terminal.names import everything
        from parley.client.terminal.table import line

        shown = 0
        async for each in everything(client):
            print(line(each, json=args.json))
            shown += 1
            if shown == args.number:
                break
        return 0

    return ask(args, work)
