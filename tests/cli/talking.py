"""`parley chat` started on a pseudo-terminal or in a pipe, with an environment of its own."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.cli.pseudo_terminal import PseudoTerminal
from tests.client.scripted import ScriptedServer

PARLEY = [sys.executable, "-c", "import sys; from parley.cli.main import main; sys.exit(main())", "chat"]


def environment(state: Path, **more: str) -> dict[str, str]:
    """A person's environment, with a state directory of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "XDG_STATE_HOME": str(state),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PROMPT_TOOLKIT_NO_CPR": "1",
        **more,
    }


@contextlib.asynccontextmanager
async def terminal(
    server: ScriptedServer, state: Path, *arguments: str, **options: Any
) -> AsyncIterator[PseudoTerminal]:
    """`parley chat` on a terminal, told where the server is."""
    variables = options.pop("env", {})
    argv = [*PARLEY, *arguments]
    async with PseudoTerminal(argv, environment(state, PARLEY_URL=server.url, **variables), **options) as opened:
        yield opened


async def piped(
    server: ScriptedServer | str, state: Path, *arguments: str, said: str | None = None, **variables: str
) -> tuple[int, str, str]:
    """`parley chat` in a pipe: exit status, output, complaints."""
    url = server if isinstance(server, str) else server.url
    process = await asyncio.create_subprocess_exec(
        *PARLEY,
        *arguments,
        stdin=subprocess.DEVNULL if said is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(state, PARLEY_URL=url, **variables),
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate(None if said is None else said.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def play(story: Callable[[ScriptedServer], Awaitable[None]], answer: list[str] | None = None, **options: Any) -> None:
    """Run a story with a server."""

    async def main() -> None:
        async with asyncio.timeout(60), ScriptedServer(answer, **options) as server:
            await story(server)

    asyncio.run(main())


def kinds(server: ScriptedServer, kind: str) -> list[dict[str, Any]]:
    return [frame for frame in server.received if frame["type"] == kind]
