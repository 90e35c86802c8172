"""Retries: the same request again, with growing pauses, as long as no piece of the answer was handed out."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from parley.core.pieces import Piece
from parley.models.model import Answer, ModelError, Waiting
from parley.models.patience import Patience

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
# How often a waiting state is repeated while we wait, in seconds.
BEAT = 1.0


async def retrying(attempt: Callable[[Patience], Answer], *, first_token: float, stall: float, tries: int) -> Answer:
    """Stream the first attempt that begins to answer.

    A retryable failure before the first piece is tried again: up to `tries` tries where the upstream names no
    waiting time, and as often as the first-token deadline allows where it does. A wait that would pass the
    deadline is not begun. While waiting, `Waiting` is yielded about once a second.

    Raises:
        ModelError: the failure of the last try.
    """
    patience = Patience(first_token, stall)
    unexplained = 0
    while True:
        try:
            async with aclosing(attempt(patience)) as answer:
                async for item in answer:
                    if isinstance(item, Piece):
                        patience.piece()
                    yield item
            return
        except ModelError as error:
            if patience.started or not error.retryable:
                raise
            patience.failures += 1
            unexplained += error.retry_after is None
            seconds = pause(patience.failures, error.retry_after)
            if unexplained >= tries or seconds >= patience.remaining():
                raise
            reason = error.message
        async with aclosing(waiting(reason, seconds)) as waits:
            async for wait in waits:
                yield wait


async def waiting(reason: str, seconds: float) -> AsyncGenerator[Waiting, None]:
    """Wait, saying so about once a second."""
    while seconds > 0:
        yield Waiting(reason, seconds)
        beat = min(seconds, BEAT)
        await asyncio.sleep(beat)
        seconds -= beat


def pause(failures: int, told: float | None) -> float:
    """Seconds to wait behind the n-th failure: at least what we were told, and a jittered, doubling pause."""
    longest = min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)
    own = random.uniform(longest / 2, longest)
    return own if told is None else max(told, own / 10)
