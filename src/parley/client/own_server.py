"""A server of one's own: for a program that names none, on a machine where none runs."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any

from parley.client.address import Address
from parley.client.errors import Error, NotAllowed, Unreachable
from parley.client.http import Http
from parley.client.values import read

LOOK = 2.0  # seconds for a server on this machine to say that it is one
POLL = 0.02
# A model may have to be loaded first.
START = 120.0
STOP = 20.0


async def runs(address: Address) -> bool:
    """Whether a Parley server answers there, be it that it wants a token."""
    try:
        async with asyncio.timeout(LOOK):
            answer = await Http(address, 0).request("GET", "/models")
        read(answer, list[Any], "assistants")
    except NotAllowed:
        return True
    except (Error, TimeoutError):
        return False
    return True


class OwnServer:
    """``parley up`` on a free port of this machine, with this user's settings and kept data.

    It goes when `stop` is called, and when the thread that started it ends, however that happens.
    """

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            Unreachable: it does not start; the message is its own.
        """
        from parley.store.lifeline import die_with_parent

        command = [sys.executable, "-P", "-m", "parley", "up", "--host", "127.0.0.1", "--port", str(self._port)]
        with tempfile.TemporaryFile() as complaints:
            self._process = subprocess.Popen(  # noqa: ASYNC220  (it is not waited for here)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                # A terminal's Ctrl-C is for the program, which lets the server go in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
            try:
                async with asyncio.timeout(START):
                    while not await runs(Address(self.url)):
                        if self._process.poll() is not None:
                            raise _failed(complaints.fileno())
                        await asyncio.sleep(POLL)
            except BaseException:
                await self.stop()
                raise

    async def stop(self) -> None:
        """Let it go. Replies under way are handed over to its next start."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        until = asyncio.get_running_loop().time() + STOP
        while process.poll() is None:
            if asyncio.get_running_loop().time() > until:
                process.kill()
            await asyncio.sleep(POLL)


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _failed(complaints: int) -> Unreachable:
    size = os.fstat(complaints).st_size
    lines = os.pread(complaints, size, 0).decode(errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix("parley: ") if lines else "it gave no reason"
    return Unreachable(f"No server runs here, and none could be started: {reason}. Name one with PARLEY_URL.")
