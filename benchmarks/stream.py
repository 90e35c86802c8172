"""What streaming costs: CPU seconds per million delivered tokens, and time to the first token, over the whole path.

    python benchmarks/stream.py [--conversations 64] [--delay 0.02] [--tokens 200] [--json]

A deterministic upstream speaks to as many conversations at once, each watched over a WebSocket that checks every
character. Counted are the CPU seconds of everything Parley runs (web server, worker, supervisor, redis-server), not
those of the upstream and of this client, which are printed beside. The same clients asking the upstream directly are
the limit: that line has no server in between at all.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.system.deployment import (
    Deployment,
    children,
    command_line,
    configuration,
    deployment,
    running,
    until,
    workplace,
)
from tests.system.deployment import environment as clean

SETTINGS = '[[models]]\nname = "scripted"\nurl = "{url}"\nmodel = "scripted"\nbackend = "llama.cpp"\n'
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def part(pid: int) -> str:
    """Which part of Parley a process is."""
    line = command_line(pid)
    for name in ("parley serve", "parley work", "parley up", "redis-server"):
        if name in line:
            return name
    return "other"


def expected(tag: str, tokens: int) -> str:
    """What the scripted upstream says."""
    return "".join(f"{tag}:{at:04d} " for at in range(tokens))


async def through_parley(url: str, number: int, tokens: int, delay: float, gate: asyncio.Event) -> float:
    """One conversation. Replies the seconds to the first token."""
    tag = f"c{number}"
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/api/socket") as socket:
        async with session.post(f"{url}/api/conversations", json={}) as answer:
            name = (await answer.json())["id"]
        await socket.send_json({"type": "follow", "conversation": name})
        await socket.receive_json()
        await gate.wait()
        began, first, text = time.perf_counter(), 0.0, []
        await socket.send_json({"type": "say", "conversation": name, "input": f"say {tokens} tag={tag} delay={delay}"})
        while True:
            frame = await socket.receive_json()
            if frame["type"] == "delta":
                first = first or time.perf_counter() - began
                text.append(frame["text"])
            elif frame["type"] == "end":
                break
        assert "".join(text) == expected(tag, tokens), "".join(text)
        return first


async def directly(url: str, number: int, tokens: int, delay: float, gate: asyncio.Event) -> float:
    """The same, from the upstream itself."""
    tag = f"d{number}"
    body = {
        "model": "scripted",
        "stream": True,
        "messages": [{"role": "user", "content": f"say {tokens} tag={tag} delay={delay}"}],
    }
    async with aiohttp.ClientSession() as session:
        await gate.wait()
        began, first, text = time.perf_counter(), 0.0, []
        async with session.post(f"{url}/chat/completions", json=body) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    first = first or time.perf_counter() - began
                    choices = json.loads(line[6:])["choices"]
                    text.append((choices[0]["delta"].get("content") or "") if choices else "")
        assert "".join(text) == expected(tag, tokens)
        return first


async def load(one: Any, url: str, conversations: int, tokens: int, delay: float) -> tuple[float, list[float]]:
    """Run all conversations at once. Replies the wall seconds and the times to the first token."""
    gate = asyncio.Event()
    tasks = [asyncio.create_task(one(url, number, tokens, delay, gate)) for number in range(conversations)]
    await asyncio.sleep(1.0)
    began = time.perf_counter()
    gate.set()
    firsts = await asyncio.gather(*tasks)
    return time.perf_counter() - began, sorted(firsts)


def measure(up: Deployment, upstream: int, url: str, conversations: int, tokens: int, delay: float) -> dict[str, Any]:
    """One round through Parley, one directly."""
    family = [up.pid, *children(up.pid)]
    watched = [*family, upstream, os.getpid()]
    before = {pid: cpu(pid) for pid in watched}
    wall, firsts = asyncio.run(load(through_parley, up.url, conversations, tokens, delay))
    spent = {pid: cpu(pid) - before[pid] for pid in watched}
    _, direct = asyncio.run(load(directly, url, conversations, tokens, delay))
    million = conversations * tokens / 1e6
    parts: dict[str, float] = {}
    for pid in family:
        parts[part(pid)] = round(parts.get(part(pid), 0.0) + spent[pid] / million, 1)
    return {
        "conversations": conversations,
        "tokens": conversations * tokens,
        "delay_s": delay,
        "wall_s": round(wall, 2),
        "ideal_s": round(tokens * delay, 2),
        "cpu_s_per_million_tokens": round(sum(spent[pid] for pid in family) / million, 1),
        "by_part": parts,
        "upstream": round(spent[upstream] / million, 1),
        "client": round(spent[os.getpid()] / million, 1),
        "first_token_ms": {"p50": ms(statistics.median(firsts)), "p99": ms(firsts[int(len(firsts) * 0.99)])},
        "direct_first_token_ms": {"p50": ms(statistics.median(direct)), "p99": ms(direct[int(len(direct) * 0.99)])},
        "rss_mb": {part(pid): round(rss(pid) / 1e6) for pid in family},
    }


def ms(seconds: float) -> float:
    """Milliseconds, as printed."""
    return round(seconds * 1000, 1)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--conversations", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with workplace() as directory:
        command = [sys.executable, "-m", "parley.testing.upstream"]
        with running(command, directory / "upstream.log", clean()) as upstream:
            until(lambda: "ready " in upstream.said())
            url = upstream.said().split("ready ")[1].split()[0]
            settings = configuration(directory, SETTINGS.format(url=url))
            with deployment(directory, "--config", settings) as up:
                for _ in range(chosen.rounds):
                    result = measure(up, upstream.pid, url, chosen.conversations, chosen.tokens, chosen.delay)
                    if chosen.json:
                        print(json.dumps(result))
                    else:
                        print("\n".join(f"{name:26} {value}" for name, value in result.items()), end="\n\n")


if __name__ == "__main__":
    main()
