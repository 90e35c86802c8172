"""A command's way to the server and back: a client, its errors as lines, an exit status."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from parley.client.address import Address
from parley.client.client import AsyncClient
from parley.client.errors import Error, InvalidRequest, Unreachable
from parley.client.terminal.advice import told
from parley.client.terminal.clean import clean
from parley.client.terminal.options import Exit

# A person leaves by hand; a script is told after so many seconds that the server does not come back.
PATIENCE_OF_A_PERSON = float("inf")
PATIENCE_OF_A_SCRIPT = 120.0

Work = Callable[[AsyncClient], Awaitable[int]]


def connected(url: str | None, token: str | None, work: Work) -> int:
    """Do something at a server; the exit status. What goes wrong is one line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        # By its name: a server that is not there is told of, and none is started.
        named = Address(url, token).url
    except InvalidRequest as error:
        return complain(error.message, Exit.USAGE)
    try:
        return asyncio.run(_do(named, token, work))
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except Unreachable as error:
        return complain(error.message, Exit.NO_SERVER)
    except Error as error:
        return complain(told(error), Exit.FAILED)


async def _do(url: str, token: str | None, work: Work) -> int:
    patience = PATIENCE_OF_A_PERSON if person() else PATIENCE_OF_A_SCRIPT
    async with AsyncClient(url, token, patience=patience) as client:
        return await work(client)


def person() -> bool:
    """Whether somebody sits at the terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def complain(text: str, status: Exit) -> int:
    """Say what went wrong; the exit status."""
    print(f"parley: {clean(text)}", file=sys.stderr, flush=True)
    return status
