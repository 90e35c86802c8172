"""`parley chat` from its options to its exit status."""

import asyncio
import os
import sys

from parley.client.client import AsyncClient
from parley.client.errors import NotFound
from parley.client.terminal.advice import told
from parley.client.terminal.connect import complain, connected, person
from parley.client.terminal.memory import Memory, state_directory
from parley.client.terminal.options import Exit, Options
from parley.client.terminal.screen import draws
from parley.client.terminal.session import Session
from parley.client.values import Snapshot


def run(options: Options) -> int:
    """Talk to a server as the options say; the exit status."""
    if options.question is None and not options.watch and (not person() or options.json):
        return complain("no question: give one as an argument or on standard input", Exit.USAGE)
    if options.question is not None and not options.question.strip():
        return complain("the question is empty", Exit.USAGE)
    if options.after is not None and not options.json:
        return complain("--after is for --json: what is shown to people begins with the newest reply", Exit.USAGE)
    return connected(options.url, options.token, lambda client: _talk(client, options))


async def _talk(client: AsyncClient, options: Options) -> int:
    memory = Memory(state_directory(os.environ))
    drawn = draws(sys.stdout, dict(os.environ), plain=options.plain) and not options.json
    prompts = options.question is None and person() and not options.json
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    if prompts:
        # prompt_toolkit takes 0.25 s to load: the line is opened meanwhile.
        from parley.client.terminal.repl import Repl
    await connecting
    session = Session(client, memory, model=options.model, system=options.system)
    try:
        snapshot = await _begin(session, options)
    except NotFound as error:
        return complain(told(error), Exit.USAGE)
    if prompts:
        return await Repl(client, session, memory, options, drawn=drawn).run(snapshot)
    from parley.client.terminal.oneshot import ask, watch

    if options.question is None:
        assert snapshot is not None
        return await watch(client, snapshot, options, drawn=drawn)
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
