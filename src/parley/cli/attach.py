"""`parley attach`: back to a conversation, and to the reply that may still be written."""

import argparse

from parley.cli.asking import STATUSES, add_server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and how it is shown."""
    parser.epilog = "In a pipe: the newest reply to its end; Ctrl-C does not stop it. " + STATUSES
    parser.add_argument("id", help="of the conversation, or the beginning of it")
    parser.add_argument("--plain", action="store_true", help="bare text (also: NO_COLOR, or output to a file)")
    parser.add_argument("--json", action="store_true", help="the events, one a line, until nothing waits or runs")
    parser.add_argument("--after", metavar="CURSOR", help="with --json: only what comes behind this cursor")
    parser.add_argument("-q", "--quiet", action="store_true", help="the answer and nothing else")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Go on with it."""
    from parley.client.terminal.options import Options
    from parley.client.terminal.run import run as talk

    return talk(
        Options(
            conversation=args.id,
            watch=True,
            after=args.after,
            url=args.url,
            token=args.token,
            plain=args.plain,
            json=args.json,
            quiet=args.quiet,
        )
    )
