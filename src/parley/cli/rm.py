"""`parley rm`: forget conversations."""

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from parley.cli.asking import add_server, ask

if TYPE_CHECKING:
    from parley.client.client import AsyncClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which."""
    parser.add_argument("id", nargs="+", help="of a conversation, or the beginning of it")
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Forget them; a person is asked first."""

    async def work(client: "AsyncClient") -> int:
        from parley.client.terminal.clean import clean
        from parley.client.terminal.names import resolve, short

        # All of them are looked up before the first is gone.
        for name in [await resolve(client, each) for each in args.id]:
            about = (await client.get(name, turns=0)).about
            shown = f"{short(name)} {clean(about.title) or '(no title)'} ({about.turns} turns)"
            if not args.force and sys.stdin.isatty() and not await _confirmed(shown):
                continue
            await client.delete(name)
            print(f"forgot {shown}")
        return 0

    return ask(args, work)


async def _confirmed(shown: str) -> bool:
    """Ask a person. Not by input(): there a Ctrl-C may be heard of only behind the answer."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Queue[bool] = asyncio.Queue()
    loop.add_reader(sys.stdin, typed.put_nowait, True)
    loop.add_signal_handler(signal.SIGINT, typed.put_nowait, False)
    print(f"forget {shown}? [y/N] ", end="", flush=True)
    try:
        if not await typed.get():
            raise KeyboardInterrupt
    finally:
        loop.remove_reader(sys.stdin)
        loop.remove_signal_handler(signal.SIGINT)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print()  # Ctrl-D
    return answer.strip().lower() in ("y", "yes")
