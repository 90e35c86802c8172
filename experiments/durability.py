"""What does it cost to answer a post only when the disk has it? Prints milliseconds, p50 and p99.

Three ways, on each server found here: everysec without a barrier, everysec with our own fsync (`FileBarrier`),
and `appendfsync always`, which makes every delta pay as well. "group" is 16 posts at once.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.redis_servers import binaries, running

from parley.store.durability import FileBarrier, NoBarrier

ROUNDS = 400
POST = "redis.call('XADD', KEYS[1], '*', 'd', ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])"


async def timed(action: Callable[[], Awaitable[object]], rounds: int) -> str:
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        await action()
        took.append((time.perf_counter() - start) * 1000)
    took.sort()
    return f"{took[len(took) // 2]:6.2f} {took[len(took) * 99 // 100]:6.2f}"


async def measure(directory: Path, url: str, mode: str) -> str:
    client = Redis.from_url(url, protocol=2)
    barrier = FileBarrier(directory, client) if mode == "own fsync" else NoBarrier()

    async def append() -> None:
        await client.eval(POST, 2, "log", "list", "x" * 200)

    async def post() -> None:
        await append()
        await barrier()

    async def group() -> None:
        await asyncio.gather(*(post() for _ in range(16)))

    await post()
    figures = [await timed(post, ROUNDS), await timed(append, ROUNDS), await timed(group, ROUNDS // 8)]
    await client.aclose()
    return "   ".join(figures)


def main() -> None:
    print(f"{'':24} {'post':>13}   {'append':>13}   {'group of 16':>13}")
    for name, binary in binaries().items():
        for mode in ("everysec", "own fsync", "always"):
            with running(binary, "--appendfsync", "always" if mode == "always" else "everysec") as server:
                print(f"{name:10} {mode:13} {asyncio.run(measure(server.directory, server.url, mode))}")


if __name__ == "__main__":
    main()
