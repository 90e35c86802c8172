"""`parley work`: a worker. SIGTERM hands its replies over at once; SIGINT lets it finish them."""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from parley.cli import handoff
from parley.cli.access import Access, open_store
from parley.cli.arguments import add_settings, settings_of
from parley.cli.model_search import look_here, search
from parley.cli.part import parley
from parley.cli.settings import Settings
from parley.cli.sources import Environment, SettingsError
from parley.models.registry import Models
from parley.store.cancelling import cancel
from parley.store.runs import Claim, Runs
from parley.worker.worker import Isolate, Worker


class Lane(Struct, frozen=True):
    """A turn that is given to a process of its own, and the worker it takes it over from."""

    claim: Claim
    heir_of: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings a worker looks at."""
    add_settings(parser, "redis", "prefix", "data", "model-url", "model", "config")
    parser.add_argument("--consumer", default="", help="this worker's name among the consumers (made up)")
    parser.add_argument("--turn", default="", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Work until told to stop."""
    logging.basicConfig(level=logging.WARNING, format="parley work: %(message)s")
    settings = settings_of(args)
    look_here()
    models = settings.models or search(settings, Environment(os.environ, Path.cwd())).models
    if not models:
        raise SettingsError("no model was found: name one with --model-url URL (`parley up` has one built in)")
    name = args.consumer or f"{socket.gethostname()}-{secrets.token_hex(6)}"
    lane = msgspec.json.decode(args.turn, type=Lane) if args.turn else None
    chosen = msgspec.structs.replace(settings, models=models)
    uvloop.run(work(chosen, name, lane))
    return 0


async def work(settings: Settings, name: str, lane: Lane | None) -> None:
    """Run one worker, or only the one turn of a lane."""
    leave, finish = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leave.set)
    loop.add_signal_handler(signal.SIGINT, finish.set)
    access = await _opened(settings, leave, finish)
    if access is None:
        return
    models = Models(settings.models)
    runs = Runs(access.client, access.blocking, access.keys, settings.timing, name)
    isolate = None if lane else isolation(settings, runs)
    worker = assemble(settings, access, models, runs, isolate)
    try:
        if lane is None:
            await worker.serve(leave, finish)
        else:
            await worker.serve_one(lane.claim, lane.heir_of, leave)
    finally:
        await models.close()
        await access.close()


async def _opened(settings: Settings, *told: asyncio.Event) -> Access | None:
    """The store, once it can be relied on; None when we are told to go before that."""
    opening = asyncio.create_task(open_store(settings))
    leaving = [asyncio.create_task(event.wait()) for event in told]
    try:
        await asyncio.wait([opening, *leaving], return_when=asyncio.FIRST_COMPLETED)
        return opening.result() if opening.done() else None
    finally:
        await cancel(opening, *leaving)


def assemble(settings: Settings, access: Access, models: Models, runs: Runs, isolate: Isolate | None) -> Worker:
    """A worker from its parts."""
    assistants = {assistant.name: assistant for assistant in settings.assistants}
    return Worker(
        runs,
        models,
        assistants,
        access.barrier,
        settings.limits,
        concurrency=settings.concurrency,
        isolate=isolate,
    )


def isolation(settings: Settings, runs: Runs) -> Isolate:
    """How a turn is given to a process of its own. It outlives its parent, but not its turn."""

    async def isolate(claim: Claim) -> None:
        name = f"{runs.worker}-{secrets.token_hex(4)}"
        turn = msgspec.json.encode(Lane(claim, runs.worker)).decode()
        handed = handoff.write(settings)
        try:
            process = await asyncio.create_subprocess_exec(
                *parley("work", "--consumer", name, "--turn", turn),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, handoff.VARIABLE: str(handed)},
                pass_fds=(handed,),
                start_new_session=True,
            )
        finally:
            os.close(handed)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        if status:
            await runs.evict(name)

    return isolate
