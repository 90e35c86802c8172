"""`parley top`: what is going on, again and again, read from Redis: for the operator of a deployment."""

import argparse
import asyncio
import contextlib
import sys
import time

from parley.cli.arguments import add_settings, settings_of
from parley.cli.settings import Settings
from parley.store.overview import Overview, Running

HOME, ERASE_BELOW, ERASE_LINE = "\x1b[H", "\x1b[J", "\x1b[K"
CLEAR = "\x1b[2J"
ROWS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How often, and in what form."""
    parser.add_argument("-1", "--once", action="store_true", help="one look (as is where the output is no terminal)")
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="seconds between two looks (1)")
    parser.add_argument("--json", action="store_true", help="an object a look")
    add_settings(parser, "redis", "prefix", "data", "config")


def run(args: argparse.Namespace) -> int:
    """Look until Ctrl-C."""
    once = args.once or not (sys.stdout.isatty() or args.json)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watch(settings_of(args), once=once, every=max(0.1, args.every), json=args.json))
    return 0


async def watch(settings: Settings, *, once: bool, every: float, json: bool) -> None:
    """Print one look after the other."""
    import msgspec

    from parley.cli.access import open_store
    from parley.store.overview import look

    access = await open_store(settings, connections=4)
    before: dict[str, int] = {}
    then = 0.0
    try:
        while True:
            seen, now = await look(access.client, access.keys), time.monotonic()
            if json:
                print(msgspec.json.encode(seen).decode(), flush=True)
            else:
                speed = grown(seen.running, before) / (now - then) if then else None
                show(seen, speed, redraw=not once, first=not then)
            if once:
                return
            before, then = {each.conversation: each.size for each in seen.running}, now
            await asyncio.sleep(every)
    finally:
        await access.close()


def grown(running: list[Running], before: dict[str, int]) -> int:
    """The bytes that were added to replies since the look before."""
    return sum(max(0, each.size - before.get(each.conversation, 0)) for each in running)


def show(seen: Overview, speed: float | None, *, redraw: bool, first: bool) -> None:
    """Print a look, in place of the one before."""
    lines = table(seen, speed)
    if redraw:
        body = "".join(f"{line}{ERASE_LINE}\n" for line in lines)
        print((CLEAR if first else "") + HOME + body + ERASE_BELOW, end="", flush=True)
    else:
        print("\n".join(lines))


def table(seen: Overview, speed: float | None) -> list[str]:
    """A look as lines."""
    oldest = f" (oldest {seen.oldest:.1f} s)" if seen.waiting else ""
    rate = "" if speed is None else f"   {speed / 1000:.1f} kB/s"
    lines = [
        f"waiting {seen.waiting}{oldest}   running {len(seen.running)}   workers at work {len(seen.workers)}"
        f"   dead letters {seen.dead}{rate}"
    ]
    if seen.away:
        lines += [f"of {seen.away} shards nothing is known: the node of the cluster that has them is out of reach"]
    if seen.workers:
        lines += ["", f"{'worker':40}  {'turns':>5}  {'seen':>8}"]
        lines += [f"{each.name[-40:]:40}  {each.turns:5}  {each.idle:6.1f} s" for each in seen.workers[:ROWS]]
    if seen.running:
        lines += ["", f"{'conversation':40}  {'for':>8}  {'bytes':>8}  tries  worker"]
        lines += [
            f"{each.conversation:40}  {each.seconds:6.1f} s  {each.size:8}  {each.attempts:5}  {each.worker[-24:]}"
            for each in seen.running[:ROWS]
        ]
    return lines
