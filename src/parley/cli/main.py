"""`parley`: finds the verb and hands over. A verb's module is imported only when that verb is used.

Exit status: 0 done, 1 failed, 2 the command line or a setting cannot be used, 130 interrupted.

A verb is a module of this package with `add_arguments(parser)` and `run(args) -> int`. It may raise
`SettingsError` and `ParleyError`: their one line is printed.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130

# There is no room where our output goes.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

DEFAULT_VERB = "up"

# verb -> what --help says of it; its module has the same name, with _ for -.
VERBS = {
    "up": "everything in one: redis-server, web server, worker, and a model if none is found (the default)",
    "serve": "a web server alone, for more machines",
    "work": "a worker alone, for more machines",
    "chat": "talk in the terminal",
    "attach": "back to a conversation, and to the reply that may still be written",
    "ls": "your conversations",
    "show": "a conversation as it stands",
    "search": "the conversations that hold a text",
    "rename": "another title for a conversation",
    "rm": "forget conversations",
    "export": "a conversation as a file: JSON, or Markdown",
    "share": "a link by which anyone can read a conversation, as it is written",
    "import": "exported conversations, as new ones",
    "top": "what is going on: waiting, running, workers",
    "config": "every setting: its value, and where that came from",
    "completion": "what bash, zsh or fish need to complete all this",
    "model": "fetch the built-in model",
    "model-server": "the built-in model alone, behind an OpenAI-compatible door",
    "bench": "how fast it is here: a load that checks every character, on one page",
    "chaos": "try to break it: a private Parley, its parts killed under load, and one verdict",
    "demo": "one minute: a long reply, and all that carries it killed under it, in view",
    "doctor": "what was found: Redis, models, ports, data; each with a fix",
    "password": "a password's hash, for the table of users",
    "import-seeds": "old conversations of the course and of the tutorial, out of their Redis",
    "version": "the version",
}
# What processes of ours start among themselves.
INTERNAL = {"evict": "free the turns of a worker that has died"}
# A module cannot be named like a word of Python.
MODULES = {"import": "import_file"}


class Verb(Protocol):
    """What a verb's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if words[:1] in (["-h"], ["--help"]):
        print(_help())
        return 0
    if words[:1] == ["--version"]:
        words = ["version"]
    name = words.pop(0) if words and not words[0].startswith("-") else DEFAULT_VERB
    if name not in VERBS and name not in INTERNAL:
        print(f"parley: there is no {name!r}{_hint(name)}", file=sys.stderr)
        return UNUSABLE
    try:
        parser, verb = prepare(name)
        done = verb.run(parser.parse_args(words))
        sys.stdout.flush()
        return done
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough.
        sys.stderr.close()
        return FAILED
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        # Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"parley: the output cannot be written: {error.strerror}", file=sys.stderr)
        return FAILED
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        print(f"parley: {error}", file=sys.stderr)
        return status


def prepare(name: str) -> tuple[argparse.ArgumentParser, Verb]:
    """The parser and the module of a verb."""
    module = MODULES.get(name, name.replace("-", "_"))
    verb = cast("Verb", importlib.import_module(f"parley.cli.{module}"))
    parser = argparse.ArgumentParser(prog=f"parley {name}", description=(VERBS | INTERNAL)[name], allow_abbrev=False)
    verb.add_arguments(parser)
    return parser, verb


def _hint(name: str) -> str:
    """What to do instead."""
    from difflib import get_close_matches

    near = get_close_matches(name, VERBS, 1)
    return f": did you mean {near[0]}?" if near else "; see parley --help"


def _status(error: Exception) -> int | None:
    """The exit status for an error that has a line for people; None for one of ours to see whole."""
    from parley.cli.sources import SettingsError
    from parley.core.errors import ParleyError

    if isinstance(error, SettingsError):
        return UNUSABLE
    return FAILED if isinstance(error, ParleyError) else None


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {text}" for name, text in VERBS.items())
    return f"usage: parley [verb] [--help] ...\n\nConversations that do not get lost.\n\n{verbs}"


__all__ = ["main"]
