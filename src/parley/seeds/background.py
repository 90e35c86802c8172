"""The one thread that runs what is asynchronous, so that plain Python can call it.

Connections to Redis and to models live in its event loop and are kept between calls, also between the activations of a
warm container. The thread begins with the first call, and anew in a forked child.
"""

import asyncio
import atexit
import contextlib
import os
import selectors
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

# How long the end of the program waits for connections to close, in seconds.
CLOSING = 2.0

Close = Callable[[], Awaitable[Any]]


class Background:
    """An event loop in a thread, and what is open in it by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._kept: dict[Any, tuple[Any, Close]] = {}
        self._selector: selectors.BaseSelector | None = None
        self._inherited: list[Any] = []

    def forget(self) -> None:
        """Begin anew: for a forked child, which has no right to what there was.

        The child shares the loop's selector with its parent: connections that are thrown away would be taken out of
        it, and the parent would hear no more of them. So the child closes its side of it, and keeps the connections.
        """
        if self._selector is not None:
            self._selector.close()
        self._inherited.append((self._loop, self._kept))
        self._lock = threading.Lock()
        self._loop, self._selector, self._thread, self._kept = None, None, None, {}

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin to run a coroutine."""
        with self._lock:
            if self._loop is None:
                self._selector = selectors.DefaultSelector()
                self._loop = asyncio.SelectorEventLoop(self._selector)
                self._thread = threading.Thread(target=self._loop.run_forever, name="parley", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; an interrupt cancels it."""
        future = self.submit(work)
        try:
            return future.result()
        finally:
            future.cancel()

    def keep(self, name: Any, make: Callable[[], tuple[T, Close]]) -> T:
        """What was made under this name, or is made now; it is closed when the program ends."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            found: T = self._kept[name][0]
            return found

    def close(self) -> None:
        """Close everything and end the thread; it begins anew when it is needed again."""
        with self._lock:
            loop, thread, kept = self._loop, self._thread, list(self._kept.values())
            self._loop, self._selector, self._thread, self._kept = None, None, None, {}
        if loop is None or thread is None:
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_close_all(kept), loop).result(CLOSING)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSING)
        if not thread.is_alive():
            loop.close()


async def _close_all(kept: list[tuple[Any, Close]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.gather(*(close() for _, close in kept), return_exceptions=True)


background = Background()
atexit.register(background.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=background.forget)
