"""`parley chaos`: try to break it. A private installation under load, its parts killed at random, and one verdict.

Exit status: 0 parts were hurt, messages answered, and no promise broken; 1 anything else; 2 bad arguments.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
from typing import cast

import msgspec
import uvloop

from parley.bench.http import Failed
from parley.chaos.place import place
from parley.chaos.plan import PARTS, Part, Plan
from parley.chaos.report import line, opening, page, table
from parley.chaos.storm import Storm
from parley.chaos.tally import Verdict
from parley.cli.bench import number

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
    parser.add_argument("--seed", type=number(1, 2**32 - 1), metavar="N", help="the choices of an earlier run")
    parser.add_argument("--json", action="store_true", help="the verdict as one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


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


def run(args: argparse.Namespace) -> int:
    """Run it and print the verdict; the exit status."""
    plan = Plan(
        seed=args.seed or random.randrange(1, 2**32),
        duration=args.duration,
        conversations=args.conversations,
        workers=args.workers,
        servers=args.servers,
        parts=args.kill,
    )
    try:
        found = uvloop.run(chaos(plan, quiet=args.quiet))
    except Failed as error:
        print(f"parley: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.format(msgspec.json.encode(found)).decode() if args.json else page(found))
    return 0 if found.holds else 1


async def chaos(plan: Plan, *, quiet: bool) -> Verdict:
    """Run it, and show how it goes. The first Ctrl-C ends the faults, the second everything. Raises `Failed`."""
    if not quiet:
        print(opening(plan), file=sys.stderr, flush=True)
    loop = asyncio.get_running_loop()
    async with place(plan) as where:
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
