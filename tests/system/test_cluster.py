"""A Redis Cluster under a whole Parley: a primary is killed in mid-reply. What the others have goes on meanwhile."""

import asyncio
import time
from collections.abc import Callable

import aiohttp
import pytest

from parley import AsyncClient
from parley.client.reply import AsyncReply
from parley.store.keys import Keys
from tests.faults.figures import figure
from tests.redis_cluster import Cluster, Node, clustered
from tests.system.deployment import Deployment, configuration, deployment, upstream, workplace
from tests.system.test_failover import SETTINGS, said, script

pytestmark = pytest.mark.chaos

KEYS = Keys("parley:", 16)
# Replies under way on each node, and how long they are: they last longer than a failover does.
EACH = 2
TOKENS = 500
# No worker dies here, and none is to be taken for dead because the machine is busy.
PATIENT = """
[timing]
lease = 30.0
"""


class Story:
    """Long replies on all nodes; one node dies."""

    def __init__(self, cluster: Cluster, up: Deployment, upstream: str) -> None:
        self.cluster, self.up, self.upstream = cluster, up, upstream

    async def run(self) -> None:
        async with AsyncClient(self.up.url) as client, aiohttp.ClientSession(f"{self.up.url}/") as self.http:
            places = await self.places(client)
            dead, *others = sorted(places, key=lambda node: node.port)
            replies = {
                name: client.say(name, script(name, TOKENS, 0.02)) for names in places.values() for name in names
            }
            for reply in replies.values():
                await reply.accepted()
            await until(lambda: all(len(reply.text) > 300 for reply in replies.values()))
            dead.kill()
            killed = time.monotonic()
            await self.while_it_is_dead(replies, dead, places)
            await asyncio.to_thread(self.cluster.await_failover, dead, KEYS.log(places[dead][0]))
            promoted = time.monotonic()
            async with asyncio.timeout(90):
                for name, reply in replies.items():
                    assert (await reply).text == said(name, TOKENS)
                for name in places[dead]:
                    assert (await client.say(name, script(f"after-{name}", 5))).text == said(f"after-{name}", 5)
            await self.judge(client, places, dead, others)
            figure("F41", failover_s=promoted - killed, replies=len(replies), of_the_dead_node=len(places[dead]))

    async def places(self, client: AsyncClient) -> dict[Node, list[str]]:
        """New conversations, by the node that has them; as many on each."""
        found: dict[Node, list[str]] = {}
        while sum(len(names) == EACH for names in found.values()) < 3:
            name = (await client.create()).id
            names = found.setdefault(self.cluster.serving(KEYS.log(name)), [])
            if len(names) < EACH:
                names.append(name)
        return found

    async def while_it_is_dead(self, replies: dict[str, AsyncReply], dead: Node, places: dict[Node, list[str]]) -> None:
        """Replies of the other nodes grow, and what is posted to them is taken; what is posted to this one is not."""
        alive = [name for node, names in places.items() if node is not dead for name in names]
        assert await self.post(places[dead][0], "refused") == 503
        sizes = {name: len(replies[name].text) for name in alive}
        await until(lambda: all(len(replies[name].text) > size for name, size in sizes.items()))
        for name in alive:
            assert await self.post(name, f"held-{name}") < 300

    async def post(self, conversation: str, tag: str) -> int:
        url = f"api/conversations/{conversation}/turns"
        async with self.http.post(url, json={"input": script(tag, 5)}, headers={"Idempotency-Key": tag}) as answer:
            return answer.status

    async def judge(self, client: AsyncClient, places: dict[Node, list[str]], dead: Node, others: list[Node]) -> None:
        """Each question stands once, with its whole answer; who was not concerned was not asked twice."""
        for node in others:
            for name in places[node]:
                async with asyncio.timeout(60):
                    while not await self.answered(client, name, 2):
                        await asyncio.sleep(0.05)
        asked = await self.asked()
        for node, names in places.items():
            for name in names:
                tags = {name: TOKENS, (f"after-{name}" if node is dead else f"held-{name}"): 5}
                turns = await client.history(name)
                assert [turn.text for turn in turns] == [said(*each) for each in tags.items()]
                assert {turn.status for turn in turns} == {"completed"}
                if node is not dead:
                    assert {asked[tag] for tag in tags} == {1}
        assert "refused" not in asked

    async def answered(self, client: AsyncClient, name: str, turns: int) -> bool:
        found = await client.history(name)
        return len(found) == turns and all(turn.status == "completed" for turn in found)

    async def asked(self) -> dict[str, int]:
        """How often the model was asked, by tag."""
        root = self.upstream.removesuffix("/v1")
        async with aiohttp.ClientSession() as session, session.get(f"{root}/stats") as answer:
            found: dict[str, int] = (await answer.json())["stats"]["by_tag"]
            return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_f41_a_primary_of_a_cluster_is_killed() -> None:
    with workplace() as directory, clustered() as cluster, upstream(directory) as url:
        settings = configuration(directory, SETTINGS.format(url=url) + PATIENT)
        with deployment(directory, "--config", settings, "--redis", cluster.url, "--workers", "2") as up:
            asyncio.run(Story(cluster, up, url).run())
