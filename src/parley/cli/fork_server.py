"""The fork server: a process that has imported what workers and web servers need, and forks one when it is asked to.

Four fifths of a worker's start are imports, and while the only worker starts a reply stands still
(docs/design/0016-fork-server.md). It has one thread, no event loop and no connection, so that a fork of it is like a
new process: one that begins where the imports end. What was imported is shared memory.

It is spoken to over a pair of sockets, in lines:

    start COMMAND        fork a process and be that command line, a JSON array that begins as `part.PARLEY` does
    signal PID NUMBER    send a signal to one that was forked; one that has ended meanwhile is left alone

and says

    started PID          in the order in which it was asked
    ended PID STATUS     as `subprocess` has it: a negative status is a signal

It ends when the other side closes, and what it forked is told to go then, as it dies with its parent
(`parley.store.lifeline`). It is deaf to SIGTERM and SIGINT, which service managers send to all processes at once: who
was forked may still have a reply to hand over, and its end is to be told of.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

from setproctitle import setproctitle

from parley.cli.main import main
from parley.cli.part import PARLEY
from parley.store.lifeline import die_with_parent

# What is imported once for all.
SHARED = ("parley.cli.serve", "parley.cli.work", "parley.cli.evict")
# How a new process handles what a fork server is deaf to, or woken by.
HANDLERS: dict[int, Callable[[int, FrameType | None], object] | signal.Handlers] = {
    signal.SIGCHLD: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


class ForkServer:
    """The process's side of the pair of sockets."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._living: set[int] = set()
        self._unread = b""

    def serve(self) -> list[str] | None:
        """Fork what is asked for, until the other side closes.

        Replies None then; and in each process that was forked, its command line.
        """
        asleep, awake = socket.socketpair()
        with self._link, asleep, awake:
            awake.setblocking(False)
            signal.set_wakeup_fd(awake.fileno(), warn_on_full_buffer=False)
            while True:
                ready, _, _ = select.select([self._link, asleep], [], [])
                if asleep in ready:
                    asleep.recv(4096)
                    self._reap()
                if self._link in ready:
                    if not (data := self._link.recv(65536)):
                        return None
                    *lines, self._unread = (self._unread + data).split(b"\n")
                    for line in lines:
                        if (command := self._obey(line.decode())) is not None:
                            return command

    def _obey(self, line: str) -> list[str] | None:
        """Do what a line says. Replies a command line in the process that was forked for it."""
        verb, _, rest = line.partition(" ")
        if verb == "start":
            command: list[str] = json.loads(rest)
            return command if self._start(command) else None
        pid, number = map(int, rest.split())
        if pid in self._living:
            os.kill(pid, number)
        return None

    def _start(self, command: list[str]) -> bool:
        """Fork; whether this is the new process. It has begun when it bears its name and can be told to go."""
        prepare = die_with_parent()
        begun, begin = os.pipe()
        if pid := os.fork():
            os.close(begin)
            os.read(begun, 1)
            os.close(begun)
            self._living.add(pid)
            self._say("started", pid)
            return False
        os.close(begun)
        signal.set_wakeup_fd(-1)
        for number, handler in HANDLERS.items():
            signal.signal(number, handler)
        prepare()
        os.setsid()
        setproctitle(" ".join(command))
        os.close(begin)
        return True

    def _reap(self) -> None:
        """Tell of all that have ended."""
        while self._living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._living.discard(pid)
            self._say("ended", pid, os.waitstatus_to_exitcode(status))

    def _say(self, verb: str, *numbers: int) -> None:
        self._link.sendall(" ".join([verb, *map(str, numbers)]).encode() + b"\n")


def _nothing(number: int, frame: FrameType | None) -> None:
    """A signal at most wakes the loop."""


def run(descriptor: int) -> int:
    """Serve on an inherited socket. Replies the exit status, of a forked process too."""
    for number in HANDLERS:
        signal.signal(number, _nothing)
    for name in SHARED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # no collection writes to what is shared
    with contextlib.suppress(ConnectionError):  # the other side's end
        command = ForkServer(socket.socket(fileno=descriptor)).serve()
        if command is not None:
            return main(command[len(PARLEY) :])
    return 0


if __name__ == "__main__":
    raise SystemExit(run(int(sys.argv[1])))
