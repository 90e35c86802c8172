"""`parley chat`: talk in the terminal."""

import argparse
import os
import stat
import sys

from parley.client.terminal.options import Options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `parley chat` takes."""
    parser.epilog = "Exit status: 0 answered, 1 failed, 2 cannot be asked like that, 3 no server, 130 interrupted."
    parser.add_argument("question", nargs="*", help="one question; with standard input joined to it (none: a REPL)")
    parser.add_argument("-c", "--continue", dest="again", action="store_true", help="go on with the last conversation")
    parser.add_argument(
        "--id", default="", metavar="ID", help="go on with this conversation (or the beginning of its id)"
    )
    parser.add_argument("-m", "--model", default="", metavar="NAME", help="who answers")
    parser.add_argument("-s", "--system", default="", metavar="TEXT", help="instructions for the conversation")
    parser.add_argument("--url", metavar="URL", help="the server (PARLEY_URL, else http://127.0.0.1:8000)")
    parser.add_argument(
        "--token", metavar="T", help="access key or session token (PARLEY_TOKEN keeps it off the screen)"
    )
    parser.add_argument("--plain", action="store_true", help="bare text (also: NO_COLOR, or output to a file)")
    parser.add_argument("--json", action="store_true", help="the frames, one a line")
    parser.add_argument("-q", "--quiet", action="store_true", help="the answer and nothing else")


def run(args: argparse.Namespace) -> int:
    """Talk; the exit status."""
    from parley.client.terminal.run import run as talk

    return talk(
        Options(
            question=question(" ".join(args.question) if args.question else None),
            conversation=args.id,
            again=args.again,
            model=args.model,
            system=args.system,
            url=args.url,
            token=args.token,
            plain=args.plain,
            json=args.json,
            quiet=args.quiet,
        )
    )


def question(argument: str | None) -> str | None:
    """The question of the argument, of standard input, or of both; None when there is neither."""
    piped = _piped()
    if argument is not None:
        # What the command line holds besides UTF-8 is replaced, as in what is piped.
        argument = argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    parts = [part for part in (argument, piped) if part is not None and part.strip()]
    if not parts:
        return argument if argument is not None else piped
    return "\n\n".join(parts)


def _piped() -> str | None:
    """What is piped or redirected to us; None when standard input is a terminal or nothing of the kind."""
    if sys.stdin is None or sys.stdin.isatty():
        return None
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return None
    # As a shell's $(...) has it: the newline at the end is the line's, not the message's. No message holds a NUL.
    return sys.stdin.buffer.read().decode("utf-8", "replace").replace("\0", "\ufffd").rstrip("\n")
