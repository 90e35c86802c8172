"""When all has been said and is forgotten, nothing is left: no key, no entry of a queue, no open file.

``PARLEY_TURNS`` makes it longer: 500 turns with every push, 10,000 by hand.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from parley.bench.installation import Running, installation
from parley.bench.processes import part
from parley.testing import ScriptedUpstream

TURNS = int(os.environ.get("PARLEY_TURNS", "500"))
CONVERSATIONS = 50
AT_ONCE = 10
SHARDS = 16
# A tombstone stands for a minute unless told otherwise.
SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"

[lifetimes]
tombstone = 1
"""
# Connections that a pool opened under load and keeps for the next one.
POOLED = 16


async def converse(url: str, turns: int) -> None:
    """Say so many things, each followed to its end, and forget the conversation."""
    async with aiohttp.ClientSession(f"{url}/", raise_for_status=True) as session:
        async with session.post("api/conversations", json={}) as answer:
            name = (await answer.json())["id"]
        for turn in range(turns):
            headers, body = {"Accept": "text/event-stream"}, {"input": f"say 5 tag=t{turn}"}
            async with session.post(f"api/conversations/{name}/turns", json=body, headers=headers) as answer:
                assert b'"status":"completed"' in await answer.read()
        async with session.delete(f"api/conversations/{name}"):
            pass


async def load(url: str, turns: int, conversations: int) -> None:
    """Many conversations, so many at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room:
            await converse(url, turns)

    await asyncio.gather(*(one() for _ in range(conversations)))


def files(server: Running) -> Counter[str]:
    """Open files of each part."""
    return Counter({part(pid): len(os.listdir(f"/proc/{pid}/fd")) for pid in server.pids})


def left(client: "redis.Redis") -> dict[str, int]:
    """What stands in Redis, by kind; what is there by right, a queue a shard and its marks, is counted as none."""
    found: Counter[str] = Counter()
    for key in client.scan_iter(count=1000):
        kind = key.rpartition(":")[2]
        if kind == "queue":
            about: Any = client.xpending(key, "w")
            found["queued"] += client.xlen(key)
            found["pending"] += about["pending"]
        elif ":c:" in key or kind in ("active", "dead"):
            found[kind] += 1
        else:
            found["others"] += 1
    return {kind: count for kind, count in found.items() if count > (3 * SHARDS if kind == "others" else 0)}


async def until(condition: Callable[[], bool], what: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds + 1):
        for _ in range(int(seconds / 0.1)):
            if condition():
                return
            await asyncio.sleep(0.1)
    raise AssertionError(str(what()))


@pytest.mark.timeout(600 if TURNS > 500 else 240)
def test_nothing_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            config = tmp_path / "parley.toml"
            config.write_text(SETTINGS.format(url=upstream.url))
            async with installation("--config", str(config)) as server:
                assert server.data is not None
                client = redis.Redis(unix_socket_path=str(server.data / "redis/redis.sock"), decode_responses=True)
                await load(server.url, 1, AT_ONCE)
                await until(lambda: not left(client), lambda: left(client))
                before = files(server)
                await load(server.url, TURNS // CONVERSATIONS, CONVERSATIONS)
                assert upstream.stats.finished == AT_ONCE + TURNS
                await until(lambda: not left(client), lambda: left(client))

                def grown() -> dict[str, int]:
                    return {name: count - before[name] for name, count in files(server).items()}

                await until(lambda: max(grown().values()) <= POOLED, grown)
                print(f"{TURNS} turns: left {left(client)}, files {dict(before)} and {grown()} more")
                client.close()

    asyncio.run(main())
