"""`parley import`: exported conversations, as new ones."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to read."""
    parser.add_argument("file", nargs="*", default=["-"], help="what `parley export` wrote; -: standard input (as is)")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Read them in, a new conversation each; print their ids."""
    texts: list[bytes] = []
    for name in args.file:
        try:
            texts.append(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())
        except OSError as error:
            print(f"parley: {name} cannot be read: {error.strerror}", file=sys.stderr)
            return 2

    async def work(client: "AsyncClient") -> int:
        from parley.client.terminal.export import read

        # All of them are read before the first is made.
        for found in [read(text) for text in texts]:
            about = found.conversation
            known = set((await client.models()).names())
            model = about.model if about.model in known else ""
            made = await client.create(title=about.title, model=model, metadata=about.metadata)
            await client.restore(made.id, found.turns)
            print(made.id)
        return 0

    return ask(args, work)
