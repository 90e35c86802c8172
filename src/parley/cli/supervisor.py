"""The supervisor: starts the parts, starts again what dies, stops all of them in order.

    redis-server     first to start, last to stop; started again on what it kept
    fork server      what the next two are forked from, as starting one anew takes half a second (`fork_server`)
    parley serve     one or more on one listening socket: while one lives, no connection is refused
    parley work      one or more; a dead one's turns are freed at once, not when its lease runs out
    parley model-server, when the built-in model is used

The first SIGINT (Ctrl-C) lets the workers finish the replies under way and take no new ones; SIGTERM, or a second
signal, has them hand their replies over to the next start; a third kills what is left.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from parley.cli.nursery import Forked, Nursery
from parley.cli.part import Part
from parley.cli.sources import SettingsError
from parley.core.errors import Unavailable
from parley.store.embedded import EmbeddedRedis
from parley.store.lifeline import die_with_parent

LOG = logging.getLogger(__name__)

# A child that lived so long did well; one that dies sooner is started again a little later each time. Everything stands
# while Redis is waited for, so what kills it every few seconds shall not be answered with seconds more.
HEALTHY = 2.0
DELAYS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# The exit status of a child that cannot work with its settings: starting it again is of no use.
UNUSABLE = 2
# How long replies under way may take to finish after Ctrl-C, and a child to leave when it is told to.
FINISH_WAIT = 300.0
LEAVE_WAIT = 10.0
BURIAL_WAIT = 1.0
POLL = 0.002
BACKLOG = 2048


OnWorkerDeath = Callable[[str], Awaitable[None]]
Process = asyncio.subprocess.Process | Forked


def listen(host: str, port: int) -> socket.socket:
    """The one listening socket that all web servers share.

    Raises:
        SettingsError: it cannot be bound; says what to change.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno is not None and "in use" in (error.strerror or ""):
            raise SettingsError(f"port {port} on {host} is in use: choose another with --port") from None
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from None


class Supervisor:
    """Keeps the parts alive until a signal, or until one of them cannot work at all.

    Args:
        redis: a server of our own; None with a foreign one.
        servers, workers: the parts that serve and work (the built-in model counts as a server).
            Each worker's command is given ``--consumer NAME``, a name that no other process ever has.
        on_worker_death: told that name when the process has died; frees its turns.
        on_start: awaited once when everything was started (to print the address when it answers).
        nursery: needed if a part is to be forked; its fork server is kept alive, too.

    `run` must be called in the main thread: the children are told to go when the thread that started them ends.
    """

    def __init__(
        self,
        redis: EmbeddedRedis | None,
        servers: Sequence[Part],
        workers: Sequence[Part],
        on_worker_death: OnWorkerDeath,
        on_start: Callable[[], Coroutine[Any, Any, None]],
        nursery: Nursery | None = None,
    ) -> None:
        self._redis = redis
        self._servers = servers
        self._workers = workers
        self._on_worker_death = on_worker_death
        self._on_start = on_start
        self._nursery = nursery
        self._processes: dict[str, Process] = {}
        self._burials: set[asyncio.Task[None]] = set()
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._failure: asyncio.Future[int]
        self._redis_up = asyncio.Event()
        self._stopping = asyncio.Event()
        self._unstarted = {part.name for part in (*servers, *workers)}
        self._started = asyncio.Event()

    async def run(self) -> int:
        """Run until told to stop; the exit status. Raises `Unavailable` when Redis will not start at first."""
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        told = asyncio.create_task(self._signals.get())
        keepers: list[asyncio.Task[None]] = []
        fork_server: list[asyncio.Task[None]] = []
        try:
            if self._nursery is not None:
                fork_server.append(self._task(self._keep(self._nursery.part, worker=False)))
            if self._redis is not None:
                start = asyncio.create_task(self._start_redis(self._redis))
                await _first(start, told)
                if not start.done():
                    await _cancel(start)
                    return 0
                start.result()
                keepers.append(self._task(self._keep_redis(self._redis)))
            keepers += [self._task(self._keep(part, worker=False)) for part in self._servers]
            keepers += [self._task(self._keep(part, worker=True)) for part in self._workers]
            keepers.append(self._task(self._tell()))
            await _first(told, self._failure)
            self._stopping.set()
            await self._leave(told.result() if told.done() else signal.SIGTERM)
            return self._failure.result() if self._failure.done() else 0
        finally:
            told.cancel()
            self._stopping.set()
            # A keeper that is cancelled kills its child if that has not left.
            await _cancel(told, *keepers)
            if self._burials:
                await asyncio.wait(self._burials, timeout=BURIAL_WAIT)
            await _cancel(*self._burials)
            # It passed on that they were to be killed, and forked who buried them.
            await _cancel(*fork_server)
            if self._redis is not None:
                await asyncio.to_thread(self._redis.stop)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside; if it fails, that is our failure."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                LOG.error("the supervisor failed", exc_info=error)
                if not self._failure.done():
                    self._failure.set_result(1)

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        return task

    async def _tell(self) -> None:
        await self._started.wait()
        await self._on_start()

    # Children

    async def _keep(self, part: Part, *, worker: bool) -> None:
        """Start a child, and again whenever it has ended. Each worker process is a consumer of its own."""
        deaths = 0
        while not self._stopping.is_set():
            if self._redis is not None:
                await self._redis_up.wait()
            began = time.monotonic()
            consumer = f"{socket.gethostname()}-{secrets.token_hex(6)}"
            process = await self._start(part, ("--consumer", consumer) if worker else ())
            self._processes[part.name] = process
            self._unstarted.discard(part.name)
            if not self._unstarted:
                self._started.set()
            try:
                status = await process.wait()
            finally:
                del self._processes[part.name]
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                if worker:
                    self._burials.add(burial := asyncio.create_task(self._bury(consumer)))
                    burial.add_done_callback(self._burials.discard)
            if self._stopping.is_set():
                return
            if status == UNUSABLE:
                LOG.error("%s cannot work with these settings (see above)", part.name)
                if not self._failure.done():
                    self._failure.set_result(UNUSABLE)
                return
            deaths = 0 if time.monotonic() - began > HEALTHY else deaths + 1
            delay = DELAYS[min(max(deaths - 1, 0), len(DELAYS) - 1)]
            LOG.warning("%s ended (%s); starting it again%s", part.name, _cause(status), f" in {delay} s" * bool(delay))
            await asyncio.sleep(delay)

    async def _start(self, part: Part, more: tuple[str, ...]) -> Process:
        """Start a process: have it forked, or spawn it; a fork server with a socket to us."""
        if self._nursery is not None and part.forked:
            return await self._nursery.fork((*part.command, *more))
        if self._nursery is None or part is not self._nursery.part:
            return await self._spawn(part, more)
        ours, theirs = socket.socketpair()
        with theirs:
            process = await self._spawn(part, (str(theirs.fileno()),), theirs.fileno())
        await self._nursery.open(ours)
        return process

    async def _spawn(self, part: Part, more: tuple[str, ...], *descriptors: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *part.command,
            *more,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, **dict(part.variables)},
            pass_fds=(*part.descriptors, *descriptors),
            # A terminal's Ctrl-C goes to us alone; we tell the children, in order.
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )

    async def _bury(self, consumer: str) -> None:
        """Free a dead worker's turns, for the others or for its successor."""
        try:
            if self._redis is not None:
                await self._redis_up.wait()
            await self._on_worker_death(consumer)
        except Exception:
            # Its lease frees them a few seconds later.
            LOG.exception("could not free the turns of worker %s", consumer)

    # Redis

    async def _start_redis(self, redis: EmbeddedRedis) -> None:
        await asyncio.to_thread(redis.prepare)
        redis.spawn()
        while not redis.answers():
            await asyncio.sleep(POLL)
        self._redis_up.set()

    async def _keep_redis(self, redis: EmbeddedRedis) -> None:
        deaths = 0
        while True:
            began = time.monotonic()
            await asyncio.to_thread(redis.wait)
            if self._stopping.is_set():
                return
            self._redis_up.clear()
            deaths = 0 if time.monotonic() - began > HEALTHY else deaths + 1
            delay = DELAYS[min(max(deaths - 1, 0), len(DELAYS) - 1)]
            LOG.warning("redis-server ended; starting it again%s", f" in {delay} s" * bool(delay))
            await asyncio.sleep(delay)
            try:
                await self._start_redis(redis)
            except Unavailable as error:
                LOG.error("%s", error)

    # Leaving

    async def _leave(self, number: signal.Signals) -> None:
        """Workers first, web servers when no reply is under way any more."""
        if number == signal.SIGINT and await self._end(self._workers, signal.SIGINT, FINISH_WAIT):
            await self._end(self._servers, signal.SIGTERM, LEAVE_WAIT)
            return
        await self._end((*self._workers, *self._servers), signal.SIGTERM, LEAVE_WAIT)

    async def _end(self, parts: Sequence[Part], number: signal.Signals, patience: float) -> bool:
        """Send a signal and wait for these parts to be gone; False: not all are, time is up or a signal came."""
        leaving = [process for part in parts if (process := self._processes.get(part.name)) is not None]
        for process in leaving:
            if process.returncode is None:
                process.send_signal(number)
        gone: asyncio.Future[Any] = asyncio.gather(*(process.wait() for process in leaving))
        impatient: asyncio.Future[Any] = asyncio.create_task(self._signals.get())
        done, _ = await asyncio.wait([gone, impatient], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if gone not in done:
            gone.cancel()
        await asyncio.gather(gone, impatient, return_exceptions=True)
        return gone in done


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _cause(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
