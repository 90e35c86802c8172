"""F25, F39, F40: another time, another version, another past."""

import asyncio
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import pytest

from parley.core import ids
from parley.core.about import About
from parley.core.cursor import START
from parley.core.limits import Timing
from parley.store import scripts
from parley.store.embedded import Binary, EmbeddedRedis
from tests.faults.catalogue import LONG
from tests.faults.figures import figure
from tests.redis_servers import binaries, running
from tests.store.harness import Bench, bench, run
from tests.worker.test_worker import Crew

every_server = pytest.mark.parametrize("name", list(binaries()))


async def answered(b: Bench, conversation: str, *texts: str) -> None:
    """Say something, and be the worker that answers."""
    for text in texts:
        await b.say(conversation, text, key=text)
        grant = await b.take(b.runs())
        await b.append(b.runs(), grant, 0, "so ", text)
        await b.runs().final(grant, 1, 3 + len(text), "completed", b"", [])


async def cursors(b: Bench, conversation: str) -> list[str]:
    """Those of all entries."""
    return [entry.cursor for entry in await b.conversations.read(conversation, START) or []]


@every_server
def test_a_copy_that_is_put_back(name: str, tmp_path: Path) -> None:
    """What was said after the copy was made is forgotten; no reader takes the new for the old."""
    version = {"redis6.2": (6, 2), "redis7.0": (7, 0)}.get(name, (8, 0))
    server = EmbeddedRedis(tmp_path / "data", Binary(binaries()[name], "Redis", version))
    names: list[str] = []

    async def before() -> None:
        b = Bench(server.url)
        await b.runs().prepare()
        names.append(await b.conversation())
        await answered(b, names[0], "one", "two")
        await b.client.aclose()

    async def after(text: str) -> list[str]:
        b = Bench(server.url)
        await answered(b, names[0], text)
        found = await cursors(b, names[0])
        await b.client.aclose()
        return found

    async def look(lost: list[str], kept: int) -> None:
        b = Bench(server.url)
        resynced = 0
        for cursor in lost[kept:]:
            assert await b.conversations.read(names[0], cursor) is None
            resynced += 1
        for cursor in lost[:kept]:
            assert await b.conversations.read(names[0], cursor) is not None
        view = await b.view(names[0])
        assert [turn.body for turn in view.turns.values()] == [b"so one", b"so two", b"so other"]
        figure("F40", cursors_told_to_look_again=resynced, cursors_that_go_on=kept)
        await b.client.aclose()

    try:
        server.start()
        run(before())
        server.stop()
        shutil.copytree(tmp_path / "data" / "redis", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
        server.start()
        lost = asyncio.run(after("three"))
        server.stop()
        shutil.rmtree(tmp_path / "data" / "redis")
        shutil.copytree(tmp_path / "copy", tmp_path / "data" / "redis")
        server.start()
        new = asyncio.run(after("other"))
        kept = len(set(lost) & set(new))
        assert lost[:kept] == new[:kept]
        assert 0 < kept < len(lost)
        run(look(lost, kept))
    finally:
        server.stop()


@every_server
def test_scripts_of_two_versions_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process knows its scripts by what they say, so an older and a newer one do not meet each other's."""

    async def main() -> None:
        async with bench(binaries()[name]) as new:
            conversation = await new.conversation()
            await new.say(conversation, "one")
            grant = await new.take(new.runs())
            await new.append(new.runs(), grant, 0, "by the new ")
            real = scripts.source.__wrapped__

            def older(script: str, **options: Any) -> str:
                return f"{real(script, **options)}\n-- as it was last year"

            monkeypatch.setattr(scripts, "source", older)
            scripts.digest.cache_clear()
            old = Bench(new.url)
            await old.append(old.runs(), grant, 11, "and the old")
            await old.runs().final(grant, 1, 22, "completed", b"", [])
            monkeypatch.undo()
            scripts.digest.cache_clear()
            await answered(new, conversation, "two")
            view = await old.view(conversation)
            assert [turn.body for turn in view.turns.values()] == [b"by the new and the old", b"so two"]
            figure("F39", versions=2)
            await old.client.aclose()

    run(main())


LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
JUMPS = ("+20", "-20", "+90000", "-90000", "+0") if LONG else ("+20", "-20", "+90000", "+0")
LEASE = 1.0


def jumping(binary: Path, directory: Path) -> Path:
    """The same server, whose clock is set by a file; its other clock, which only ever goes on, is left alone."""
    assert LIBRARY is not None, "libfaketime is needed: apt-get install faketime"
    path = directory / "redis-server"
    lines = (
        "#!/bin/sh",
        f"export LD_PRELOAD={LIBRARY} FAKETIME_TIMESTAMP_FILE={directory}/clock FAKETIME_NO_CACHE=1",
        "export FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1",
        f'exec {binary} "$@"',
    )
    path.write_text("\n".join(lines))
    path.chmod(0o755)
    return path


def set_clock(directory: Path, offset: str) -> None:
    """So many seconds off."""
    (directory / "new").write_text(offset)
    os.rename(directory / "new", directory / "clock")


def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """Two workers talk while the clock of Redis jumps; each reply is whole, whoever takes it over meanwhile."""
    set_clock(tmp_path, "+0")

    async def main() -> None:
        # The oldest: the library and the allocator of newer ones wait for each other.
        with running(jumping(next(iter(binaries().values())), tmp_path)) as server:
            c = Crew(Bench(server.url, timing=Timing(lease=LEASE, scan=0.1, queue_wait=0)))
            c.start("a")
            c.start("b")
            takeovers = 0
            began = await clock(c.bench)
            for number, offset in enumerate(JUMPS):
                # A life that is longer than any jump: by its own clock the server is right to end it else.
                conversation = ids.conversation_id(secrets.token_bytes(16), 1)
                await c.bench.conversations.create(conversation, "me", About(model="counting"), ttl=7 * 86_400)
                first = await c.bench.say(conversation, f"w{number} 80")
                await c.text(conversation, first.turn, 50)
                set_clock(tmp_path, offset)
                second = await c.bench.say(conversation, f"v{number} 10")
                view = await c.ended(conversation, first.turn, second.turn, seconds=60)
                assert view.turns[first.turn].body.decode() == "".join(f"w{number}:{at} " for at in range(80))
                assert view.turns[second.turn].body.decode() == "".join(f"v{number}:{at} " for at in range(10))
                takeovers += view.takeovers
                if offset == "+90000":
                    assert await clock(c.bench) - began > 80_000
            figure("F25", jumps=len(JUMPS), takeovers=takeovers)
            for worker in ("a", "b"):
                await c.stop(worker)
            await c.bench.client.aclose()

    run(main())


async def clock(b: Bench) -> float:
    """What Redis takes for now."""
    seconds, _ = await b.client.time()
    return float(seconds)
