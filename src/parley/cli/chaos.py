"""`parley chaos`: try to break it. A private installation under load, its parts killed at random, and one verdict.

Exit status: 0 parts were hurt, messages answered, and no promise broken; 1 anything else; 2 bad arguments.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from parley.bench.http import Failed
from parley.chaos.place import PREFIX, Place, elsewhere, place
from parley.chaos.plan import PARTS, Part, Plan
from parley.chaos.report import line, opening, page, table
from parley.chaos.storm import Storm
from parley.chaos.tally import Verdict
from parley.cli.bench import number
from parley.cli.sources import SettingsError

UP, ERASE_LINE, ERASE_BELOW = "\x1b[{}A", "\x1b[K", "\x1b[J"
# Seconds between two looks: at a terminal, and elsewhere.
EVERY, SELDOM = 0.5, 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to hurt, for how long, under what load."""
    parser.epilog = (
        "Exit status: 0 parts were hurt, messages answered, and no promise broken; 1 anything else; 2 bad arguments."
    )
    parser.add_argument("--duration", type=seconds, default=60.0, metavar="S", help="seconds of faults (60)")
    parser.add_argument("--conversations", type=number(1, 1000), default=20, metavar="N", help="at once (20)")
    parser.add_argument("--workers", type=number(1, 64), default=3, metavar="N", help="workers (3)")
    parser.add_argument("--servers", type=number(1, 64), default=2, metavar="N", help="web servers (2)")
    parser.add_argument("--kill", type=parts, default=PARTS, metavar="PARTS", help="what is hurt (work,serve,redis)")
    parser.add_argument("--takeovers", type=number(1, 10**6), default=0, metavar="N", help="end it after so many")
    parser.add_argument("--rollbacks", action="store_true", help="Redis also loses what it wrote last")
    parser.add_argument("--redis-server", type=server, metavar="FILE", help="the redis-server or valkey-server to run")
    parser.add_argument("--seed", type=number(1, 2**32 - 1), metavar="N", help="the choices of an earlier run")
    parser.add_argument("--json", action="store_true", help="the verdict as one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    own = parser.add_argument_group("what is yours")
    own.add_argument("--redis", metavar="URL", help="a Redis of yours under private workers and web servers; kill it")
    own.add_argument("--prefix", default="chaos:", metavar="P", help="of all keys there, which are removed (chaos:)")
    own.add_argument("--url", help="a whole Parley of yours: only load and verdict; killing is up to you")
    own.add_argument("--token", help="its access key or a session token (PARLEY_TOKEN keeps it off the screen)")
    own.add_argument("--model", default="chaos", metavar="NAME", help="the scripted model's name there (chaos)")
    own.add_argument("--model-port", type=number(1, 65_535), default=9100, metavar="N", help="and its port here (9100)")


def seconds(text: str) -> float:
    """A duration in seconds."""
    with contextlib.suppress(ValueError):
        if 1 <= float(text) <= 3600:
            return float(text)
    raise argparse.ArgumentTypeError(f"seconds from 1 to 3600, not {text!r}")


def parts(text: str) -> tuple[Part, ...]:
    """Parts to hurt, separated by commas."""
    named = [word.strip() for word in text.split(",")]
    if wrong := [word for word in named if word not in PARTS]:
        raise argparse.ArgumentTypeError(f"some of {','.join(PARTS)}, not {wrong[0]!r}")
    return tuple(cast("Part", word) for word in dict.fromkeys(named))


def server(text: str) -> Path:
    """A program that can be run."""
    if os.access(text, os.X_OK) and os.path.isfile(text):
        return Path(text)
    raise argparse.ArgumentTypeError(f"a program, not {text!r}")


def check(args: argparse.Namespace) -> None:
    """Raises `SettingsError` for what does not go together."""
    if args.url and args.redis:
        raise SettingsError("--redis is for a private Parley, not for one at --url")
    if args.rollbacks and (args.url or args.redis):
        raise SettingsError("--rollbacks needs a Redis of our own: a file of yours is not ours to cut")
    if args.redis_server and (args.url or args.redis):
        raise SettingsError("--redis-server needs a Redis of our own")
    if args.redis and args.kill is not PARTS and "redis" in args.kill:
        raise SettingsError("--kill redis: a Redis of yours is not ours to kill; do so yourself")


def run(args: argparse.Namespace) -> int:
    """Run it and print the verdict; the exit status."""
    check(args)
    plan = Plan(
        seed=args.seed or random.randrange(1, 2**32),
        duration=args.duration,
        takeovers=args.takeovers,
        conversations=args.conversations,
        workers=args.workers,
        servers=args.servers,
        parts=() if args.url else tuple(part for part in args.kill if part != "redis" or not args.redis),
        rollbacks=args.rollbacks,
        redis_server=args.redis_server,
        redis=args.redis or "",
        prefix=args.prefix if args.redis else PREFIX,
        model=args.model if args.url else "",
    )
    if args.url:
        where = elsewhere(args.url, args.token or os.environ.get("PARLEY_TOKEN", ""), args.model, args.model_port)
    else:
        where = place(plan)
    try:
        found = uvloop.run(chaos(plan, where, quiet=args.quiet))
    except Failed as error:
        print(f"parley: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.format(msgspec.json.encode(found)).decode() if args.json else page(found))
    return 0 if found.holds else 1


async def chaos(plan: Plan, somewhere: AbstractAsyncContextManager[Place], *, quiet: bool) -> Verdict:
    """Run it, and show how it goes. The first Ctrl-C ends the faults, the second everything. Raises `Failed`."""
    if not quiet:
        print(opening(plan), file=sys.stderr, flush=True)
    loop = asyncio.get_running_loop()
    async with somewhere as where:
        storm = Storm(where, plan)

        def interrupt() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            storm.stop()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        showing = asyncio.create_task(show(storm, quiet=quiet))
        try:
            return await storm.run()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def show(storm: Storm, *, quiet: bool) -> None:
    """How it goes, on standard error: a table that changes at a terminal, a line now and then elsewhere."""
    drawn = 0
    terminal = sys.stderr.isatty()
    try:
        while not quiet:
            await asyncio.sleep(EVERY if terminal else SELDOM)
            if not terminal:
                print(line(storm), file=sys.stderr, flush=True)
                continue
            lines = table(storm)
            body = "".join(f"{text}{ERASE_LINE}\n" for text in lines)
            print((UP.format(drawn) if drawn else "") + body, end="", file=sys.stderr, flush=True)
            drawn = len(lines)
    finally:
        if drawn:
            print(UP.format(drawn) + ERASE_BELOW, end="", file=sys.stderr, flush=True)
