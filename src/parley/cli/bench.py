"""`parley bench`: how fast is it, here? A private installation, or one that runs, under a load that checks every
character. Exit status: 0 every reply was right, 1 one was not or it could not be measured, 2 bad arguments.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop
from msgspec import Struct

from parley.bench.drivers import DRIVERS, Chat, Driver
from parley.bench.http import Connection, Failed, Origin
from parley.bench.installation import installation, upstream
from parley.bench.load import Plan
from parley.bench.machine import machine
from parley.bench.measure import drivers, measure
from parley.bench.processes import family, listening
from parley.bench.report import page
from parley.bench.statistics import summary
from parley.cli.sources import SettingsError
from parley.models.endpoint import chat_base

QUESTION = "Count from one to fifty in words."
# How many at once: the deterministic model costs nothing, a real one is slow.
MANY, FEW = 32, 4


class Target(Struct):
    """What is measured. `clock` is the deterministic upstream, None with another model; `direct` asks the model."""

    what: str
    make: Callable[[], Driver]
    pids: Callable[[], list[int]]
    clock: Origin | None = None
    clock_pid: int = 0
    direct: Callable[[], Driver] | None = None
    forget: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and with what load."""
    parser.epilog = (
        "Exit status: 0 every reply was right, 1 one was not, or nothing could be measured, 2 bad arguments."
    )
    where = parser.add_argument_group("what to measure (a private installation with the deterministic model)")
    where.add_argument("--url", help="a Parley that runs; what is said there is deleted afterwards")
    where.add_argument("--token", help="its access key or a session token (PARLEY_TOKEN keeps it off the screen)")
    where.add_argument("--model-url", metavar="URL", help="a private installation with this model (PARLEY_MODEL_KEY)")
    where.add_argument("--model", default="", metavar="NAME", help="which model")
    where.add_argument("--serves", type=number(1, 64), metavar="N", help="web servers of the private installation (1)")
    where.add_argument("--workers", type=number(1, 64), metavar="N", help="its workers (1)")
    where.add_argument("--config", metavar="FILE", help="its settings file")
    load = parser.add_argument_group("the load")
    load.add_argument("--protocol", choices=tuple(DRIVERS), default="websocket", help="the way in (websocket)")
    load.add_argument("--conversations", type=number(1, 10_000), metavar="N", help=f"at once ({MANY}; {FEW})")
    load.add_argument("--turns", type=number(1, 10_000), default=2, metavar="N", help="turns of each (2)")
    load.add_argument("--tokens", type=number(1, 99_999), metavar="N", help="tokens a reply (100)")
    load.add_argument("--delay", type=milliseconds, metavar="MS", help="from one token to the next (20; 0: at once)")
    load.add_argument("--message", metavar="TEXT", help="what is said to a model of your own")
    load.add_argument("--rounds", type=number(1, 100), default=3, metavar="N", help="how often (3)")
    parser.add_argument("--json", action="store_true", help="every figure of every round")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def number(least: int, most: int) -> Callable[[str], int]:
    """What reads a whole number within bounds."""

    def read(text: str) -> int:
        with contextlib.suppress(ValueError):
            if least <= int(text) <= most:
                return int(text)
        raise argparse.ArgumentTypeError(f"a whole number from {least} to {most}, not {text!r}")

    return read


def milliseconds(text: str) -> float:
    """Milliseconds as seconds."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 60_000:
            return float(text) / 1000
    raise argparse.ArgumentTypeError(f"milliseconds from 0 to 60000, not {text!r}")


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit status."""
    check(args)
    try:
        result = uvloop.run(bench(args))
    except Failed as error:
        print(f"parley: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.format(msgspec.json.encode(result)).decode() if args.json else page(result))
    return 0 if all(run["replies"] and not run["failed"] + run["wrong"] for run in result["runs"]) else 1


def check(args: argparse.Namespace) -> None:
    """Raises `SettingsError` for what does not go together."""
    for name in ("url", "model_url"):
        value = getattr(args, name)
        if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise SettingsError(f"--{name.replace('_', '-')} must be http://... or https://..., not {value!r}")
    private = [name for name in ("model_url", "serves", "workers", "config") if getattr(args, name) is not None]
    if args.url and private:
        raise SettingsError(f"--{private[0].replace('_', '-')} is for a private installation, not for one at --url")
    if args.url or args.model_url:
        for name in ("tokens", "delay"):
            if getattr(args, name) is not None:
                raise SettingsError(f"--{name} is for the deterministic model; another says what it likes")
    elif args.message is not None or args.model:
        given = "model" if args.model else "message"
        raise SettingsError(f"--{given} needs a model of your own: --model-url, or --url")
    if args.url and args.protocol in ("chat", "responses") and not args.model:
        raise SettingsError(f"--protocol {args.protocol} asks for a model by name: --model")


async def bench(args: argparse.Namespace) -> dict[str, Any]:
    """Measure. Raises `Failed`."""
    about = machine()
    own = bool(args.url or args.model_url)
    plan = Plan(
        conversations=args.conversations or (FEW if own else MANY),
        turns=args.turns,
        tokens=args.tokens or 100,
        delay=0.02 if args.delay is None else args.delay,
        message=args.message or QUESTION,
    )
    progress = Progress(plan, args.rounds, quiet=args.quiet)
    async with target(args) as found:
        await rounds(found, warm(plan), 1, progress.named("warming up"))
        runs = await rounds(found, plan, args.rounds, progress)
        direct = []
        if found.direct is not None:
            limit = msgspec.structs.replace(found, make=found.direct, pids=lambda: [], forget=False)
            direct = await rounds(limit, plan, 1, progress.named("the model asked directly"))
        processes = bool(runs[0]["memory"])
    progress.done()
    return {
        "what": found.what,
        "protocol": args.protocol,
        "machine": about,
        "plan": msgspec.to_builtins(plan),
        "rounds": args.rounds,
        "deterministic": not own,
        "checked": "schedule" if not own else "kept" if DRIVERS[args.protocol][0].keeps else "",
        "processes": processes,
        "runs": runs,
        "summary": summary(runs),
        "direct": summary(direct),
    }


def warm(plan: Plan) -> Plan:
    """A little of the same, which is not counted."""
    return msgspec.structs.replace(plan, conversations=min(4, plan.conversations), turns=1, tokens=min(20, plan.tokens))


async def rounds(found: Target, plan: Plan, count: int, progress: "Progress") -> list[dict[str, Any]]:
    """The same load so many times."""
    runs = []
    for at in range(count):
        progress.begin(at)
        runs.append(
            await measure(
                plan,
                found.make,
                pids=found.pids(),
                upstream=found.clock,
                upstream_pid=found.clock_pid,
                forget=found.forget,
                on_reply=progress.step,
            )
        )
    return runs


@contextlib.asynccontextmanager
async def target(args: argparse.Namespace) -> AsyncIterator[Target]:
    """What is to be measured, running. Raises `Failed`."""
    if args.url:
        token = args.token or os.environ.get("PARLEY_TOKEN", "")
        make = drivers(args.protocol, args.url, args.model, token)
        yield Target(f"the Parley at {args.url}", make, lambda: running_at(args.url), forget=True)
        return
    if args.model_url:
        key = os.environ.get("PARLEY_MODEL_KEY", "")
        origin = Origin(chat_base(args.model_url), key)
        model = args.model or await first_model(origin)
        variables = {"PARLEY_MODEL_KEY": key} if key else {}
        options = more(args)
        async with installation(*options, model_url=args.model_url, model=model, variables=variables) as server:
            make = drivers(args.protocol, server.url, model)
            what = f"a private Parley with {model} at {args.model_url}"
            yield Target(what, make, lambda: server.pids, direct=lambda: Chat(origin, model))
        return
    async with upstream() as above, installation(*more(args), model_url=above.url) as server:
        make = drivers(args.protocol, server.url, "bench")
        clock, origin = Origin(above.url.removesuffix("/v1")), Origin(above.url)
        what = "a private Parley with the deterministic model"
        yield Target(what, make, lambda: server.pids, clock, above.pid, direct=lambda: Chat(origin, "bench"))


def more(args: argparse.Namespace) -> list[str]:
    """The flags that the private installation is given."""
    given = {"--serves": args.serves, "--workers": args.workers}
    given["--config"] = os.path.abspath(args.config) if args.config else None
    return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def running_at(url: str) -> list[int]:
    """The processes of a Parley on this machine: the one that listens, and those it belongs to."""
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        return []
    found = listening(parts.port or (443 if parts.scheme == "https" else 80))
    return list(dict.fromkeys(pid for leader in found for pid in family(leader)))


async def first_model(origin: Origin) -> str:
    """The first of the models that a server offers. Raises `Failed`."""
    http = await Connection.open(origin)
    try:
        listed = await http.json("GET", "/models")
        return str(listed["data"][0]["id"])
    except (KeyError, IndexError, TypeError, msgspec.DecodeError):
        raise Failed("the server offers no model: name one with --model") from None
    finally:
        http.close()


class Progress:
    """What is done so far, on standard error: one line that changes on a terminal, a line a round elsewhere."""

    def __init__(self, plan: Plan, rounds: int, *, quiet: bool, name: str = "") -> None:
        self._plan, self._rounds, self._quiet, self._name = plan, rounds, quiet, name
        self._replies = 0
        self._round = ""

    def named(self, name: str) -> "Progress":
        """Progress of something that is not a round."""
        return Progress(self._plan, self._rounds, quiet=self._quiet, name=name)

    def begin(self, at: int) -> None:
        """A round begins."""
        self._replies, self._round = 0, self._name or f"round {at + 1} of {self._rounds}"
        if not self._quiet and not sys.stderr.isatty():
            print(self._round, file=sys.stderr, flush=True)

    def step(self) -> None:
        """A reply is there."""
        self._replies += 1
        if not self._quiet and sys.stderr.isatty():
            print(f"\r\033[K{self._round}: {self._replies} replies", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Nothing more is to come."""
        if not self._quiet and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
