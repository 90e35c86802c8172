"""`parley export`: a conversation as a file."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which, in what form, and where to."""
    parser.add_argument("id", help="of the conversation, or the beginning of it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="with everything, for `parley import` (as is)")
    form.add_argument("--md", action="store_true", help="Markdown, for people")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there (standard output)")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Write it."""

    async def work(client: "AsyncClient") -> int:
        from parley.client.terminal.clean import clean
        from parley.client.terminal.export import document, markdown
        from parley.client.terminal.names import resolve

        name = await resolve(client, args.id)
        about = (await client.get(name, turns=0)).about
        text = (markdown if args.md else document)(about, await client.history(name))
        if args.output is None:
            sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
            return 0
        try:
            args.output.write_text(text, encoding="utf-8")
        except OSError as error:
            print(f"parley: {args.output} cannot be written: {error.strerror}", file=sys.stderr)
            return 2
        return 0

    return ask(args, work)
