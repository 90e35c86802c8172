"""Following: every event once, in order, across lines and at any pace."""

import asyncio

import pytest

from parley.client.client import AsyncClient
from parley.client.values import Event
from tests.client.scripted import ScriptedServer
from tests.client.stories import play, until


def test_following_goes_on_across_lines_and_repeats_nothing() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        conversation = server.create()
        events: list[Event] = []

        async def follow() -> None:
            async for event in client.follow(conversation.name):
                events.append(event)  # noqa: PERF401  (looked at while it grows)

        following = asyncio.create_task(follow())
        await until(lambda: events)
        assert events[0].type == "snapshot"
        reply = client.say(conversation.name, "go")
        turn = await server.asked()
        server.delta(turn, "a")
        await until(lambda: events[-1].type == "delta")
        server.drop()
        server.delta(turn, "b")
        server.end(turn)
        await until(lambda: events[-1].type == "end")
        assert (await reply).text == "ab"
        await client.delete(conversation.name)
        await following
        assert [event.type for event in events[1:]] == ["queued", "started", "delta", "delta", "end", "deleted"]
        assert [event.cursor for event in events[1:]] == [entry["cursor"] for entry in conversation.log]
        assert events[3].data["text"] == "a"

    play(story)


def test_following_begins_behind_a_cursor() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        conversation = server.create()
        await client.say(conversation.name, "go")
        cursor = conversation.log[2]["cursor"]
        events = client.follow(conversation.name, after=cursor)
        assert [(await anext(events)).cursor for _ in range(2)] == [entry["cursor"] for entry in conversation.log[3:]]
        await events.aclose()

    play(story, answer=["a", "b"])


def test_a_slow_follower_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.client.follower.ROOM", 3)

    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        conversation = server.create()
        events = client.follow(conversation.name, after="0-0")
        seen: list[str] = []
        await client.say(conversation.name, "go")
        async for event in events:
            seen.append(event.cursor)
            await asyncio.sleep(0.01)
            if event.type == "end":
                break
        assert seen == [entry["cursor"] for entry in conversation.log]

    play(story, answer=[str(number) for number in range(30)])
