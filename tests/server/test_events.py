"""Server-sent events."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.server.harness import house, text_of, until
from tests.store.harness import run


def test_a_stream_begins_with_a_snapshot_and_goes_on_live() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            async with home.events(f"/api/conversations/{name}/events") as stream:
                assert stream.answer.headers["cache-control"] == "no-store"
                snapshot = await stream.event()
                assert snapshot is not None
                assert snapshot["type"] == "snapshot"
                await home.say(name, "hi")
                await home.answer("a\n", "b")
                found = [await stream.event() for _ in range(5)]
                kinds = [each["type"] for each in found if each]
                assert kinds == ["queued", "started", "delta", "delta", "end"]
                assert text_of([each for each in found if each]) == "a\nb"
                assert stream.retry == 1000

    run(main())


def test_last_event_id_wins_over_after() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            await home.say(name, "hi")
            await home.answer("a", "b")
            path = f"/api/conversations/{name}/events"
            async with home.events(f"{path}?after=0-0&until=idle") as stream:
                whole = await stream.all()
            assert [each["type"] for each in whole] == ["queued", "started", "delta", "delta", "end"]
            headers = {"Last-Event-ID": whole[2]["cursor"]}
            async with home.events(f"{path}?after=0-0&until=idle", headers=headers) as stream:
                assert await stream.all() == whole[3:]
            headers = {"Last-Event-ID": whole[-1]["cursor"]}
            assert await home.call("GET", f"{path}?until=idle", headers=headers, expect=204) is None
            async with home.events(f"{path}?after=1-1&until=idle") as stream:
                assert [each["type"] for each in await stream.all()] == ["snapshot"]

    run(main())


def test_until_idle_waits_for_everything_that_is_in_line() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            await home.say(name, "one")
            async with home.events(f"/api/conversations/{name}/events?until=idle") as stream:
                assert (await stream.event() or {})["type"] == "snapshot"
                await home.say(name, "two")
                await home.answer("1")
                await home.say(name, "three")
                await home.answer("2")
                await home.answer("3")
                found = await stream.all()
                assert [each["type"] for each in found].count("end") == 3

    run(main())


def test_say_with_a_stream_gives_the_receipt_and_that_turn_only() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            before = await home.say(name, "before")
            path = f"/api/conversations/{name}/turns"
            options: dict[str, Any] = {
                "method": "POST",
                "json": {"input": "mine"},
                "headers": {"Accept": "text/event-stream", "Idempotency-Key": "k"},
            }
            async with home.events(path, **options) as stream:
                receipt = await stream.event()
                assert receipt is not None
                assert (receipt["type"], receipt["position"]) == ("receipt", 1)
                await home.say(name, "after")
                await home.answer("not this")
                await home.answer("th", "is")
                found = await stream.all()
                assert [each["type"] for each in found] == ["started", "delta", "delta", "end"]
                assert {each["turn"] for each in found} == {receipt["turn"]} != {before["turn"]}
            async with home.events(path, **options) as stream:
                assert stream.answer.headers["idempotent-replayed"] == "true"
                again = await stream.all()
                assert [each["type"] for each in again] == ["receipt", "snapshot"]
                assert again[0]["replayed"] is True
                shown = {turn["turn"]: turn["text"] for turn in again[1]["turns"]}
                assert shown[receipt["turn"]] == "this"

    run(main())


def test_a_replayed_say_streams_on_to_the_end() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            headers = {"Accept": "text/event-stream", "Idempotency-Key": "k"}
            await home.call(
                "POST", f"/api/conversations/{name}/turns", {"input": "a"}, expect=202, headers={"Idempotency-Key": "k"}
            )
            options: dict[str, Any] = {"method": "POST", "json": {"input": "a"}, "headers": headers}
            async with home.events(f"/api/conversations/{name}/turns", **options) as stream:
                assert (await stream.event() or {})["type"] == "receipt"
                assert (await stream.event() or {})["type"] == "snapshot"
                await home.answer("x")
                assert [each["type"] for each in await stream.all()] == ["started", "delta", "end"]

    run(main())


def test_a_reply_goes_on_without_its_reader() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            options: dict[str, Any] = {
                "method": "POST",
                "json": {"input": "a"},
                "headers": {"Accept": "text/event-stream"},
            }
            async with home.events(f"/api/conversations/{name}/turns", **options) as stream:
                receipt = await stream.event()
                assert receipt is not None
            hub = home.served[0].server.app.parts.hub
            await until(lambda: not hub._outboxes)
            await home.answer("all of it")
            turn = await home.call("GET", f"/api/conversations/{name}/turns/{receipt['turn']}")
            assert (turn["status"], turn["text"]) == ("completed", "all of it")

    run(main())


def test_deleted_ends_the_stream() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            async with home.events(f"/api/conversations/{name}/events") as stream:
                await stream.event()
                await home.call("DELETE", f"/api/conversations/{name}")
                assert [each["type"] for each in await stream.all()] == ["deleted"]

    run(main())


def test_silence_is_broken_by_comments() -> None:
    async def main() -> None:
        async with house(quiet_seconds=1) as home:
            name = await home.conversation()
            async with home.events(f"/api/conversations/{name}/events") as stream:
                await stream.event()
                waiting = asyncio.create_task(stream.event())
                await until(lambda: stream.comments >= 2)
                await home.call("DELETE", f"/api/conversations/{name}")
                assert (await waiting or {})["type"] == "deleted"

    run(main())


def test_a_stream_that_is_not_read_is_cut_off() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            hub = home.served[0].server.app.parts.hub
            async with home.events(f"/api/conversations/{name}/events", read_bufsize=1024) as stream:
                assert await stream.event()
                await home.say(name, "hi")
                runs = home.bench.runs()
                grant = await home.bench.take(runs)
                offset, piece = 0, "x" * 60_000
                while hub._outboxes and offset < 30_000_000:
                    await home.bench.append(runs, grant, offset, piece)
                    offset += len(piece)
                    await runs.renew(grant, patience=1)
                await until(lambda: not hub._outboxes)
                with pytest.raises(aiohttp.ClientError):
                    await stream.answer.content.read()

    run(main())


def test_many_entries_reach_a_reader_that_comes_late() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            await home.say(name, "hi")
            texts = [f"{number:05d} " * 100 for number in range(900)]
            await home.answer(*texts)
            async with home.events(f"/api/conversations/{name}/events?after=0-0&until=idle") as stream:
                found = await stream.all()
                assert text_of(found) == "".join(texts)
                assert [each["type"] for each in found].count("snapshot") == 0

    run(main())


def test_head_of_a_stream_ends_at_once() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            async with home.http.head(f"{home.served[0].url}/api/conversations/{name}/events") as answer:
                assert answer.status == 200
                assert answer.headers["content-type"].startswith("text/event-stream")

    run(main())
