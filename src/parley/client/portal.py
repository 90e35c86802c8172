"""An event loop in a thread of its own, for programs that have none."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from parley.client.errors import CLOSED, Closed

T = TypeVar("T")

FORKED = "A client does not survive a fork: make one in the child."


class Portal:
    """Runs coroutines for any thread that waits for them, until it is closed.

    Ctrl-C (or any exception raised in a waiting thread) cancels what it waits for. The thread never keeps a program
    from ending.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        # Once it is closed nothing more gets into the loop, where it would never be run. Reentrant: the collector
        # may end a forgotten iterator at any moment.
        self._lock = threading.RLock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="parley client", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and give what it gives.

        Raises:
            Closed: the portal was closed, or belongs to another process.
        """
        running = self._submit(work)
        if running is None:
            raise Closed(CLOSED if os.getpid() == self._process else FORKED)
        try:
            return running.result()
        except CancelledError:
            raise Closed(CLOSED) from None
        except BaseException:
            running.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine that nobody waits for; once the portal is closed nothing of it is done."""
        self._submit(work)

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Run one last coroutine, cancel what still runs and end the thread. Nothing happens the second time."""
        with self._lock:
            ours = self._submit(self._leave(last)) is not None
            self._closed = True
        # A client that was forgotten may be found by the collector in this very thread.
        if ours and threading.current_thread() is not self._thread:
            self._thread.join()
        if not ours and last is not None:
            last.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T] | None":
        with self._lock:
            if not self._closed and os.getpid() == self._process:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        return None

    async def _leave(self, last: Coroutine[Any, Any, None] | None) -> None:
        try:
            if last is not None:
                await last
        finally:
            self._loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            while left := asyncio.all_tasks(self._loop):
                for task in left:
                    task.cancel()
                self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
