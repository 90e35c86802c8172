"""While conversations stream, workers, web servers and redis-server are killed at random: nothing is lost or doubled.

The upstream's every token names its request and position, so what must be seen is known to the letter. The seed is
printed; ``PARLEY_CHAOS_SEED`` repeats one, ``PARLEY_CHAOS_SECONDS`` and ``PARLEY_CHAOS_TAKEOVERS`` make it longer.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from tests.system.deployment import Deployment, configuration, deployment, upstream, workplace
from tests.system.viewer import Viewer, watch_by_events, watch_by_socket

CONVERSATIONS = 20
SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"
recovery = "{recovery}"

[timing]
lease = 2.0
scan = 0.25
attempts_total = 1000
"""


class Chaos:
    """One run: posters, viewers and the nemesis, and what they saw."""

    def __init__(self, up: Deployment, rng: random.Random, *, vary: bool, takeovers: int, seconds: float) -> None:
        self.up = up
        self.rng = rng
        self.vary = vary
        self.goal = takeovers
        self.deadline = time.monotonic() + seconds
        self.kills: Counter[str] = Counter()
        self.posted: dict[str, dict[str, tuple[str, int]]] = {}
        self.viewers: dict[str, list[Viewer]] = {}
        self.replayed = 0

    @property
    def takeovers(self) -> int:
        return sum(viewers[0].view.takeovers for viewers in self.viewers.values())

    @property
    def enough(self) -> bool:
        return self.takeovers >= self.goal or time.monotonic() > self.deadline

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as self.session:
            for _ in range(CONVERSATIONS):
                made = await self._insist("/api/conversations", {}, f"c{self.rng.random()}")
                self.posted[made["id"]] = {}
                self.viewers[made["id"]] = [Viewer(f"socket {made['id']}"), Viewer(f"events {made['id']}")]
            watching = [
                asyncio.create_task(watch(self.up.url, name, viewer, random.Random(self.rng.random())))
                for name, viewers in self.viewers.items()
                for watch, viewer in zip((watch_by_socket, watch_by_events), viewers, strict=True)
            ]
            nemesis = asyncio.create_task(self._nemesis())
            try:
                await asyncio.gather(*(self._post(name, number) for number, name in enumerate(self.posted)))
                await nemesis
                await self._settle()
            finally:
                for task in (*watching, nemesis):
                    task.cancel()
                outcomes = await asyncio.gather(*watching, nemesis, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome

    async def _insist(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Post until it is acknowledged, with one idempotency key."""
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
                headers = {"Idempotency-Key": key}
                async with self.session.post(f"{self.up.url}{path}", json=body, headers=headers) as answer:
                    if answer.status in (200, 201, 202):
                        found: dict[str, Any] = await answer.json()
                        return found
                    assert answer.status in (429, 503), await answer.text()
            assert time.monotonic() < until, f"{path} was not accepted for 60 s"
            await asyncio.sleep(0.1)

    async def _post(self, conversation: str, number: int) -> None:
        turn = 0
        while not self.enough:
            turn += 1
            count = self.rng.randrange(10, 120)
            text = f"say {count} tag=c{number}t{turn} delay=0.02{' vary' if self.vary else ''}"
            path = f"/api/conversations/{conversation}/turns"
            receipt = await self._insist(path, {"input": text}, f"k{turn}")
            self.posted[conversation][receipt["turn"]] = (f"c{number}t{turn}", count)
            if self.rng.random() < 0.2:
                again = await self._insist(path, {"input": text}, f"k{turn}")
                assert again["turn"] == receipt["turn"]
                self.replayed += 1
            while not self.enough and self.rng.random() < 0.8 and not self._ended(conversation, receipt["turn"]):
                await asyncio.sleep(0.05)

    def _ended(self, conversation: str, turn: str) -> bool:
        return all(
            turn in viewer.view.turns and viewer.view.turns[turn].status not in ("queued", "in_progress")
            for viewer in self.viewers[conversation]
        )

    async def _nemesis(self) -> None:
        chances = (("work", 0.82), ("serve", 0.14), ("redis-server", 0.04))
        while not self.enough:
            await asyncio.sleep(self.rng.expovariate(1 / 0.3))
            part = self.rng.choices([name for name, _ in chances], [chance for _, chance in chances])[0]
            # A turn in isolation is left alone: what it is isolated from is the others' bad luck.
            living = [pid for pid in self.up.parts(part) if not self._isolated(pid)]
            if living and (part != "work" or len(living) > 1):
                with contextlib.suppress(OSError):
                    os.kill(self.rng.choice(living), signal.SIGKILL)
                    self.kills[part] += 1

    def _isolated(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return b"--turn" in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    async def _settle(self) -> None:
        """Faults are over: every accepted turn must end, in everyone's eyes."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            open_turns = [
                (name, turn) for name, turns in self.posted.items() for turn in turns if not self._ended(name, turn)
            ]
            if not open_turns:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"not ended after 60 s of calm: {open_turns[:10]}")

    def verdict(self) -> str:
        """Check everything that was seen, and say it in a line."""
        statuses: Counter[str] = Counter()
        rewinds = characters = 0
        for name, turns in self.posted.items():
            for viewer in self.viewers[name]:
                assert viewer.violations == []
                assert set(viewer.view.turns) == set(turns), "a turn nobody posted, or one that was lost"
                for turn, (tag, count) in turns.items():
                    shown = viewer.view.turns[turn]
                    statuses[shown.status] += 1
                    rewinds += shown.rewinds
                    characters += len(shown.body)
                    self._check_text(shown.body.decode(), tag, count, shown.status)
        assert set(statuses) == {"completed"}, statuses
        gaps = sorted(gap for viewers in self.viewers.values() for gap in viewers[0].gaps)
        viewers = [viewer for pair in self.viewers.values() for viewer in pair]
        rollbacks = sum(viewer.rollbacks for viewer in viewers)
        assert not rollbacks or self.kills["redis-server"]
        return (
            f"accepted {sum(map(len, self.posted.values()))}, answered the same, lost 0, repeated 0; "
            f"takeovers {self.takeovers}, rewinds {rewinds}, kills {dict(self.kills)}, "
            f"frames {sum(viewer.frames for viewer in viewers)}, characters checked {characters}, "
            f"connections {sum(viewer.connections for viewer in viewers)}, "
            f"snapshots {sum(viewer.snapshots for viewer in viewers)}, after a rollback {rollbacks}, "
            f"replayed posts {self.replayed}, "
            f"frozen p50 {gaps[len(gaps) // 2]:.2f} s, max {gaps[-1]:.2f} s"
        )

    def _check_text(self, text: str, tag: str, count: int, status: str) -> None:
        tokens = re.findall(rf"{tag}(\.r\d+)?:(\d+) ", text)
        assert len(text) == sum(len(f"{tag}{run}:{at} ") for run, at in tokens), text
        assert [int(at) for _, at in tokens] == list(range(count)), text
        assert len({run for run, _ in tokens}) == 1, f"two answers glued: {text}"


def left_behind(url: str, prefix: str = "parley:") -> list[str]:
    """What stands in the work queues, their pending lists and active sets: after everything ended, nothing may."""
    client = redis.Redis.from_url(url, decode_responses=True)
    found: list[str] = []
    for key in client.scan_iter(f"{prefix}*:queue"):
        entries: Any = client.xrange(key)
        found += [f"{key} {entry}" for entry in entries]
        pending: Any = client.xpending(key, "w")
        if pending["pending"]:
            found.append(f"{key} pending")
    for key in client.scan_iter(f"{prefix}*:active"):
        found.append(f"{key} {client.zcard(key)}")
    for key in client.scan_iter(f"{prefix}*:dead"):
        found.append(f"{key} {client.lrange(key, 0, -1)}")
    client.close()
    return found


@pytest.mark.chaos
@pytest.mark.timeout(420)
@pytest.mark.parametrize(("recovery", "takeovers"), [("continue", 250), ("regenerate", 100)])
def test_nothing_is_lost_whatever_is_killed(recovery: str, takeovers: int) -> None:
    seed = int(os.environ.get("PARLEY_CHAOS_SEED", "0")) or random.randrange(1, 1 << 32)
    takeovers = int(os.environ.get("PARLEY_CHAOS_TAKEOVERS", takeovers))
    seconds = float(os.environ.get("PARLEY_CHAOS_SECONDS", "200"))
    print(f"\nseed {seed}, {recovery}")
    with workplace() as directory, upstream(directory) as url:
        settings = configuration(directory, SETTINGS.format(url=url, recovery=recovery))
        with deployment(directory, "--config", settings, "--serves", "2", "--workers", "3") as up:
            rng = random.Random(seed)
            vary = recovery == "regenerate"
            chaos = Chaos(up, rng, vary=vary, takeovers=takeovers, seconds=seconds)
            began = time.monotonic()
            try:
                asyncio.run(chaos.run())
            except BaseException:
                print(up.said()[-5000:])
                raise
            with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as answer:
                assert json.loads(answer.read())["stats"]["foreign_partials"] == 0
            print(f"{chaos.verdict()} in {time.monotonic() - began:.0f} s")
            assert chaos.takeovers >= takeovers
            until = time.monotonic() + 15
            while left_behind(up.redis_url) and time.monotonic() < until:
                time.sleep(0.2)
            assert left_behind(up.redis_url) == []
