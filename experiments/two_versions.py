"""F39 with two whole versions: an older Parley and this one at once, on one Redis, as during an upgrade.

    python experiments/two_versions.py bd0fbf6 --seconds 40

Of each version a web server and a worker run. Conversations are begun and spoken to over either server, and each is
watched over both: the WebSocket of one, Server-Sent Events of the other. Workers of either version are killed in turn,
so that each goes on with what the other has begun. Everything is checked as `parley chaos` checks it.
"""

import argparse
import asyncio
import contextlib
import io
import itertools
import json
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.figures import figure
from tests.redis_servers import binaries, free_port, running
from tests.system.deployment import PARLEY, Process, environment, until, upstream

from parley.chaos.place import SETTINGS
from parley.chaos.plan import Plan
from parley.chaos.poster import Poster
from parley.chaos.quiet import Quiet
from parley.chaos.talk import Talk
from parley.chaos.tally import Hurt, Verdict, verdict
from parley.chaos.viewer import watch_by_events, watch_by_socket
from parley.store.connect import connect
from parley.store.keys import Keys
from parley.store.overview import look

ROOT = Path(__file__).parents[1]
CONVERSATIONS = 12
# Between two kills: seconds, and events that viewers must have seen meanwhile. Until whoever was killed has a successor
# it is the other version that goes on with its turns, a lease later.
PACE, PROGRESS = 3.0, 200
CALM = 60.0
PREFIX, SHARDS = "both:", 16


class Version:
    """A Parley of one version: its web server, and a worker that can be killed."""

    def __init__(self, name: str, source: Path, folder: Path, redis: str) -> None:
        self.name = name
        self._folder = folder / name
        self._folder.mkdir()
        self._env = environment(PYTHONPATH=str(source))
        self._common = ("--config", str(folder / "parley.toml"), "--redis", redis, "--prefix", PREFIX)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.server = self._start("serve", "--port", str(port))
        self.worker = self._start("work")

    def _start(self, part: str, *arguments: str) -> Process:
        command = [*PARLEY, part, *self._common, "--data", str(self._folder / "data"), *arguments]
        return Process(command, self._folder / f"{part}.log", self._env)

    def ready(self) -> bool:
        """Whether its server serves."""
        assert self.server.process.poll() is None, self.server.said()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
        return False

    def kill_worker(self) -> None:
        """Kill it; another one of this version begins."""
        self.worker.kill()
        self.worker = self._start("work")

    def close(self) -> None:
        """Kill both."""
        for each in (self.server, self.worker):
            each.kill()


def export(commit: str, folder: Path) -> Path:
    """The source of an older version."""
    told = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(told)) as files:
        files.extractall(folder / "older", filter="data")
    return folder / "older/src"


@contextlib.contextmanager
def both(commit: str, redis: str) -> Iterator[Sequence[Version]]:
    """The two versions, ready, on one Redis."""
    with tempfile.TemporaryDirectory(prefix="two-versions-") as name, upstream(Path(name)) as url:
        folder = Path(name)
        (folder / "parley.toml").write_text(SETTINGS.format(url=url, recovery="continue"))
        sources = {"old": export(commit, folder), "new": ROOT / "src"}
        versions = [Version(each, source, folder, redis) for each, source in sources.items()]
        try:
            for version in versions:
                until(version.ready, 60, f"the {version.name} server")
            yield versions
        finally:
            for version in versions:
                version.close()


async def talk(made: Talk, poster: Poster, versions: Sequence[Version], over: asyncio.Event) -> None:
    """One conversation, spoken to over one server, watched over both."""
    watches = zip(
        (watch_by_socket, watch_by_events), versions[:: -1 if made.number % 4 < 2 else 1], made.viewers, strict=True
    )
    watching = [
        asyncio.create_task(watch(version.url, made.conversation, viewer, random.Random(viewer.name)))
        for watch, version, viewer in watches
    ]
    try:
        await poster.converse(made, over.is_set)
        async with asyncio.timeout(CALM):
            while made.open:
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass  # the verdict tells
    finally:
        for task in watching:
            task.cancel()


async def play(versions: Sequence[Version], plan: Plan, redis: str) -> Verdict:
    """Talk and kill until the time is up; then what was seen."""
    over, hurt = asyncio.Event(), Hurt()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        rng, quiet = random.Random(plan.seed), Quiet()
        posters = [Poster(session, each.url, rng, plan, quiet) for each in versions]
        made = [await posters[number % 2].open(number) for number in range(plan.conversations)]
        async with asyncio.TaskGroup() as talks:
            for each in made:
                # Half of them are spoken to over the server that did not make them.
                talks.create_task(talk(each, posters[each.number // 2 % 2], versions, over))
            end = time.monotonic() + plan.duration
            for version in itertools.cycle(versions):
                enough = sum(viewer.frames for each in made for viewer in each.viewers) + PROGRESS
                await asyncio.sleep(PACE)
                while (
                    time.monotonic() < end and sum(viewer.frames for each in made for viewer in each.viewers) < enough
                ):
                    await asyncio.sleep(0.05)
                if time.monotonic() >= end:
                    break
                await asyncio.to_thread(version.kill_worker)
                hurt["work", "kill"] += 1
            over.set()
    client = connect(redis, connections=2)
    seen = await look(client, Keys(PREFIX, SHARDS))
    await client.aclose()
    left = seen.waiting + len(seen.running) + seen.dead
    more = [flaw for poster in posters for flaw in poster.flaws]
    return verdict(made, hurt, seed=plan.seed, seconds=plan.duration, left=left, more=more)


def main() -> None:
    """Play, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="the older version")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    plan = Plan(
        seed=args.seed, duration=args.seconds, conversations=CONVERSATIONS, tokens=(20, 80), delay=0.05, ahead=3
    )
    with running(next(iter(binaries().values()))) as redis, both(args.commit, redis.url) as versions:
        found = asyncio.run(play(versions, plan, redis.url))
        told: dict[str, Any] = {name: getattr(found, name) for name in found.__struct_fields__}
        told["errors"] = {
            each.name: [line for line in (each.server.said() + each.worker.said()).splitlines() if "rror" in line][:5]
            for each in versions
        }
        print(json.dumps(told, indent=1))
        counts = {name: told[name] for name in ("accepted", "answered", "takeovers")}
        figure("F39", what=f"beside {args.commit}", **counts, flaws=found.violations)
    if not found.holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
