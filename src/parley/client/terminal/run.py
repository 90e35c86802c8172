"""`parley chat` from its options to its exit status."""

import asyncio
import os
import sys

from parley.client.address import Address
from parley.client.client import AsyncClient
from parley.client.errors import Error, InvalidRequest, NotFound, Unreachable
from parley.client.terminal.clean import clean
from parley.client.terminal.memory import Memory, state_directory
from parley.client.terminal.options import Exit, Options
from parley.client.terminal.screen import draws
from parley.client.terminal.session import Session
from parley.client.values import Snapshot

# A person leaves by hand; a script is told after so many seconds that the server does not come back.
PATIENCE_OF_A_PERSON = float("inf")
PATIENCE_OF_A_SCRIPT = 120.0


def run(options: Options) -> int:
    """Talk to a server as the options say; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        Address(options.url, options.token)
    except InvalidRequest as error:
        return _complain(error.message, Exit.USAGE)
    if options.question is None and not (sys.stdin.isatty() and sys.stdout.isatty() and not options.json):
        return _complain("no question: give one as an argument or on standard input", Exit.USAGE)
    if options.question is not None and not options.question.strip():
        return _complain("the question is empty", Exit.USAGE)
    try:
        return asyncio.run(_talk(options))
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except Unreachable as error:
        return _complain(error.message, Exit.NO_SERVER)
    except Error as error:
        return _complain(error.message, Exit.FAILED)


async def _talk(options: Options) -> int:
    memory = Memory(state_directory(os.environ))
    drawn = draws(sys.stdout, dict(os.environ), plain=options.plain) and not options.json
    person = sys.stdin.isatty() and sys.stdout.isatty()
    patience = PATIENCE_OF_A_PERSON if person else PATIENCE_OF_A_SCRIPT
    # By its name: a server that is not there is told of, and none is started.
    url = Address(options.url, options.token).url
    async with AsyncClient(url, options.token, patience=patience) as client:
        connecting = asyncio.create_task(client.connect())
        await asyncio.sleep(0)
        if options.question is None:
            # prompt_toolkit takes 0.25 s to load: the line is opened meanwhile.
            from parley.client.terminal.repl import Repl
        await connecting
        session = Session(client, memory, model=options.model, system=options.system)
        try:
            snapshot = await _begin(session, options)
        except NotFound as error:
            return _complain(error.message, Exit.USAGE)
        if options.question is None:
            return await Repl(client, session, memory, options, drawn=drawn).run(snapshot)
        from parley.client.terminal.oneshot import ask

        return await ask(client, session, options, drawn=drawn)


async def _begin(session: Session, options: Options) -> Snapshot | None:
    snapshot = None
    if options.conversation:
        snapshot = await session.open(options.conversation)
    elif options.again:
        snapshot = await session.resume()
    if snapshot is not None and options.system:
        await session.instruct(options.system)
    return snapshot


def _complain(text: str, status: Exit) -> int:
    print(f"parley: {clean(text)}", file=sys.stderr, flush=True)
    return status
