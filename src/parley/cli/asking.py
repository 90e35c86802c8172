"""Verbs that ask a server something: where it is, and what may go wrong on the way."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parley.client.terminal.connect import Work

STATUSES = "Exit status: 0 done, 1 refused, 2 cannot be asked like that, 3 no server, 130 interrupted."


def add_server(parser: argparse.ArgumentParser) -> None:
    """Where the server is and who asks."""
    parser.epilog = parser.epilog or STATUSES
    parser.add_argument("--url", metavar="URL", help="the server (PARLEY_URL, else http://127.0.0.1:8000)")
    parser.add_argument(
        "--token", metavar="T", help="access key or session token (PARLEY_TOKEN keeps it off the screen)"
    )


def ask(args: argparse.Namespace, work: "Work") -> int:
    """Do something at the server; the exit status."""
    from parley.client.terminal.connect import connected

    return connected(args.url, args.token, work)
