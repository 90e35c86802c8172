"""`parley show`: a conversation as it stands."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and in what form."""
    parser.add_argument("id", help="of the conversation, or the beginning of it")
    parser.add_argument("--plain", action="store_true", help="bare text (also: NO_COLOR, or output to a file)")
    parser.add_argument("--json", action="store_true", help="a turn a line, as the protocol has it")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Print every turn, oldest first."""

    async def work(client: "AsyncClient") -> int:
        import msgspec

        from parley.client.terminal.clean import json_line
        from parley.client.terminal.names import resolve
        from parley.client.terminal.screen import draws, past

        for turn in await client.history(await resolve(client, args.id)):
            if args.json:
                print(json_line(msgspec.json.encode(turn)))
            else:
                past(turn, drawn=draws(sys.stdout, dict(os.environ), plain=args.plain))
        return 0

    return ask(args, work)
