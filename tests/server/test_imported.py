"""A session that the tutorial's own server stored goes on here, under the same token."""

import json
import uuid

from parley.core.limits import Lifetimes, Limits
from parley.store.migration import Migration
from parley.store.seed_data import SeedData
from tests.server.tutorial import tutorial
from tests.store.harness import PREFIX, Memory, run


def test_b7_b9_an_old_session_is_refreshed_and_talked_in() -> None:
    """B9: after its hour the seed's session is gone, and 400."""
    token = str(uuid.uuid4())
    messages = [
        {"id": "1", "msg": "Human: Hello", "timestamp": "2026-11-21 05:45:26.000001"},
        {"id": "1", "msg": "Bot: Hi there", "timestamp": "2026-11-21 05:45:26.000001"},
    ]
    started = "2026-11-21 05:45:25.085343"
    record = {"token": token, "messages": messages, "name": "Bob", "session_start": started}

    async def main() -> None:
        async with tutorial() as place:
            bench = place.home.bench
            await bench.client.set(token, json.dumps(record))
            old = await SeedData(bench.client, PREFIX).read(token)
            assert old is not None
            done = await Migration(bench.client, bench.keys, Limits(), Lifetimes(), Memory()).write(old)
            assert (done.result, done.turns) == ("new", 1)
            session = await place.home.call("GET", "/refresh_token", params={"token": token})
            assert (session["token"], session["name"], session["session_start"]) == (token, "Bob", started)
            assert [message["msg"] for message in session["messages"]] == ["Human: Hello", "Bot: Hi there"]
            async with place.tab(token) as tab:
                await tab.ask("say 2 tag=again")
            assert (await place.said(token))[-2:] == ["Human: say 2 tag=again", "Bot: again:0000 again:0001"]
            asked = place.upstream.seen[-1].body["inputs"]
            assert asked == "Human: Hello Bot: Hi there Human: say 2 tag=again Bot:"

    run(main())
