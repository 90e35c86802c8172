"""A Redis with sentinels, under a whole Parley: its primary is killed or stopped, and every reply is whole, once."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from parley import AsyncClient
from tests.faults.figures import figure, silence
from tests.redis_sentinels import Shape, failing_over, until
from tests.redis_servers import Server
from tests.system.deployment import Deployment, configuration, deployment, upstream, workplace

pytestmark = pytest.mark.chaos

SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"
"""


def script(tag: str, tokens: int, delay: float = 0.0) -> str:
    """What has the scripted upstream say so many tokens."""
    return f"say {tokens} tag={tag} delay={delay}"


def said(tag: str, tokens: int) -> str:
    """What it says then."""
    return "".join(f"{tag}:{at:04d} " for at in range(tokens))


class Story:
    """Someone listens to a long reply while the primary goes, and goes on talking."""

    def __init__(self, shape: Shape, up: Deployment, upstream: str) -> None:
        self.shape, self.up, self.upstream = shape, up, upstream

    async def run(self, number: signal.Signals) -> Server:
        """Signal the primary in mid-reply. Replies which one it was, when all is answered."""
        async with AsyncClient(self.up.url) as client, aiohttp.ClientSession(f"{self.up.url}/") as self.http:
            name = (await client.create()).id
            other = (await client.create()).id
            long = client.say(name, script("long", 400, 0.02))
            await long.accepted()
            listening = asyncio.create_task(silence(long))
            async with asyncio.timeout(20):
                while len(long.text) < 400:
                    await asyncio.sleep(0.01)
            old = self.shape.primary
            os.kill(old.pid, number)
            held = client.say(name, script("held", 20))
            posted = asyncio.create_task(self._post(other))
            new = await asyncio.to_thread(self.shape.await_failover, old)
            async with asyncio.timeout(60):
                assert (await long).text == said("long", 400)
                assert (await held).text == said("held", 20)
                refusals = await posted
                assert (await client.say(other, script("after", 5))).text == said("after", 5)
            assert new is not old
            assert refusals
            await self.judge(client, name, other)
            asked = (await self.asked())["long"]
            row = "F19" if number is signal.SIGKILL else "F20"
            figure(row, longest_silence_s=await listening, posts_refused=refusals, model_asked=asked)
            return old

    async def judge(self, client: AsyncClient, name: str, other: str) -> None:
        """Each question stands once, with its whole answer, and nobody asked the model more often than needed."""
        for conversation, tags in ((name, {"long": 400, "held": 20}), (other, {"posted": 20, "after": 5})):
            turns = await client.history(conversation)
            assert [turn.text for turn in turns] == [said(*each) for each in tags.items()]
            assert {turn.status for turn in turns} == {"completed"}
        asked = await self.asked()
        assert (asked["held"], asked["posted"], asked["after"]) == (1, 1, 1)

    async def asked(self) -> dict[str, int]:
        """How often the model was asked, by tag."""
        root = self.upstream.removesuffix("/v1")
        async with aiohttp.ClientSession() as session, session.get(f"{root}/stats") as answer:
            found: dict[str, int] = (await answer.json())["stats"]["by_tag"]
            return found

    async def _post(self, conversation: str) -> int:
        """Post the same until it is accepted. Replies how often it was refused."""
        body: dict[str, Any] = {"input": script("posted", 20)}
        refusals = 0
        while True:
            url = f"api/conversations/{conversation}/turns"
            async with self.http.post(url, json=body, headers={"Idempotency-Key": "the-same"}) as answer:
                if answer.status < 300:
                    receipt = await answer.json()
                    # A server without WAITAOF; the other replica follows it by now, or not yet.
                    assert receipt["durability"] in ("memory", "replicated")
                    return refusals
                assert answer.status == 503, await answer.text()
                assert int(answer.headers["Retry-After"]) >= 1
                refusals += 1
            await asyncio.sleep(0.05)


def told(directory: Path, number: signal.Signals) -> None:
    """The story, and what comes after it."""
    with failing_over() as shape, upstream(directory) as url:
        settings = configuration(directory, SETTINGS.format(url=url))
        with deployment(directory, "--config", settings, "--redis", shape.url, "--workers", "2") as up:
            story = Story(shape, up, url)
            old = asyncio.run(story.run(number))
            if number is signal.SIGSTOP:
                asyncio.run(returned(story, old))


async def returned(story: Story, old: Server) -> None:
    """The old primary comes back and takes itself for one: nobody listens to it, and it must follow the new one."""
    before = await story.asked()
    os.kill(old.pid, signal.SIGCONT)
    await asyncio.to_thread(until, lambda: story.shape.info(old)["role"] == "slave", what="the old primary to follow")
    await asyncio.to_thread(until, lambda: story.shape.info(old)["master_link_status"] == "up", what="its link")
    async with AsyncClient(story.up.url) as client:
        name = (await client.create()).id
        assert (await client.say(name, script("later", 5))).text == said("later", 5)
    assert await story.asked() == before | {"later": 1}


def test_a_killed_primary() -> None:
    with workplace() as directory:
        told(directory, signal.SIGKILL)


def test_a_stopped_primary_that_comes_back() -> None:
    with workplace() as directory:
        told(directory, signal.SIGSTOP)
