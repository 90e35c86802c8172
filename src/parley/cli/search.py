"""`parley search`: the conversations that hold a text."""

import argparse
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look for, and where."""
    parser.add_argument("text", help="in whatever case")
    parser.add_argument("--titles", action="store_true", help="in titles only, which is quick")
    parser.add_argument("--json", action="store_true", help="an object a line")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """List them, the one last spoken in first; exit status 1 when there is none, as grep has it."""
    wanted = args.text.casefold()

    async def work(client: "AsyncClient") -> int:
        from parley.client.terminal.names import everything
        from parley.client.terminal.table import line

        found = False
        async for each in everything(client):
            fits = wanted in each.title.casefold()
            if not fits and not args.titles:
                turns = await client.history(each.id)
                fits = any(wanted in f"{turn.question}\n{turn.text}".casefold() for turn in turns)
            if fits:
                print(line(each, json=args.json), flush=True)
                found = True
        return 0 if found else 1

    return ask(args, work)
