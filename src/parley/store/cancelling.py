"""Cancelling tasks that use the Redis client, which can swallow a cancellation while it loses its connection."""

import asyncio
from typing import Any

# How long a task may take to heed a cancellation before it is told again.
PATIENCE = 0.1


def heed() -> None:
    """Raise the cancellation that this task was told of, if the Redis client has made another error of it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, again and again, and wait until they have ended, however they do."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=PATIENCE)
    await asyncio.gather(*tasks, return_exceptions=True)
