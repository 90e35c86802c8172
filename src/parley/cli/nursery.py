"""The supervisor's side of the fork server: asks it for processes, and hears of their ends."""

import asyncio
import json
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence

from parley.cli.part import Part


class Forked:
    """A process that was forked for us: what the supervisor uses of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, send: Callable[[int, int], None]) -> None:
        self.pid = pid
        self._send = send
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """Its exit status; negative, the signal that ended it; None while it lives."""
        return self._status.result() if self._status.done() else None

    async def wait(self) -> int:
        """Wait for its end."""
        return await asyncio.shield(self._status)

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if not self._status.done():
            self._send(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def ended(self, status: int) -> None:
        """Its end is known."""
        self._status.set_result(status)


class Nursery(asyncio.Protocol):
    """Forks processes for as long as there is a fork server; while there is none, who asks for one waits.

    What a fork server has forked is told to go with it, and counts as ended then: its parent could say no more of it.

    Args:
        part: the fork server, for who keeps it alive and opens a link to it each time.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self._transport: asyncio.Transport
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._unread = b""
        self._asked: deque[asyncio.Future[Forked]] = deque()  # in the order of the answers
        self._living: dict[int, Forked] = {}

    async def open(self, link: socket.socket) -> None:
        """Use another fork server, the last one having ended."""
        await self._down.wait()
        await asyncio.get_running_loop().create_connection(lambda: self, sock=link)

    async def fork(self, command: Sequence[str]) -> Forked:
        """A new process that is what this command line says; it must be one that `part.parley` makes."""
        while True:
            await self._up.wait()
            asked: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
            self._asked.append(asked)
            self._transport.write(f"start {json.dumps(command)}\n".encode())
            try:
                return await asyncio.shield(asked)
            except asyncio.CancelledError:
                asked.add_done_callback(_abandon)
                raise
            except ConnectionError:
                continue

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._down.clear()
        self._up.set()

    def data_received(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            verb, pid, *status = line.decode().split()
            if verb == "started":
                self._started(int(pid))
            else:
                self._living.pop(int(pid)).ended(int(status[0]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._up.clear()
        self._down.set()
        self._unread = b""
        for forked in self._living.values():
            forked.ended(-signal.SIGTERM)
        self._living.clear()
        for asked in self._asked:
            asked.set_exception(ConnectionResetError())
        self._asked.clear()

    def _started(self, pid: int) -> None:
        self._living[pid] = forked = Forked(pid, self._send)
        self._asked.popleft().set_result(forked)

    def _send(self, pid: int, number: int) -> None:
        self._transport.write(f"signal {pid} {int(number)}\n".encode())


def _abandon(asked: "asyncio.Future[Forked]") -> None:
    """Nobody waits for a process any more: kill it if it was begun."""
    if asked.exception() is None:
        asked.result().kill()
