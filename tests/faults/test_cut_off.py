"""F14, F15: a network that swallows everything and says nothing, between Redis and a worker or a web server."""

import asyncio
import time

import aiohttp
import pytest

from parley.core.limits import Timing
from parley.store import multiplexer, runs
from parley.worker import turn as turns
from tests.faults.figures import figure
from tests.faults.proxy import Proxy
from tests.redis_servers import running
from tests.server.harness import House
from tests.store.harness import Bench, run
from tests.worker.test_worker import Crew

LEASE = 1.0
# Instead of 30 s and 5 s: what is tested is that they count, not how long they are.
BLIND, SILENCE = 3.0, 1.0


def test_a_worker_that_is_cut_off_gives_up_by_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "BLIND", BLIND)
    monkeypatch.setattr(multiplexer, "COMMAND_TIMEOUT", SILENCE)
    monkeypatch.setattr(runs, "COMMAND_TIMEOUT", SILENCE)

    async def main() -> None:
        with running() as server:
            async with Proxy(server.socket) as proxy:
                timing = Timing(lease=LEASE, scan=0.1)
                cut, whole = Crew(Bench(proxy.url, timing=timing)), Crew(Bench(server.url, timing=timing))
                lonely = cut.start("lonely")
                conversation = await whole.bench.conversation(model="counting")
                receipt = await whole.bench.say(conversation, "x 700")
                await whole.text(conversation, receipt.turn, 20)
                proxy.silent()
                began = time.monotonic()
                whole.start("other")
                while not (await whole.bench.view(conversation)).takeovers:
                    await asyncio.sleep(0.01)
                taken = time.monotonic() - began
                while lonely._running:
                    await asyncio.sleep(0.01)
                let_go = time.monotonic() - began
                view = await whole.ended(conversation, receipt.turn, seconds=60)
                assert view.turns[receipt.turn].body.decode() == "".join(f"x:{at} " for at in range(700))
                await whole.stop("other")
                proxy.silent(up=False, down=False)
                again = await whole.bench.say(conversation, "y 3")
                view = await whole.ended(conversation, again.turn, seconds=60)
                assert view.turns[again.turn].body == b"y:0 y:1 y:2 "
                assert (await whole.outcome(conversation, receipt.turn)).status == "completed"
                figure("F14", taken_over_s=taken, model_left_s=let_go, lease_s=LEASE, blind_s=BLIND)
                await cut.stop("lonely")
                await cut.bench.client.aclose()
                await whole.bench.client.aclose()

    run(main())


def test_a_web_server_that_is_cut_off_refuses_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplexer, "COMMAND_TIMEOUT", SILENCE)

    async def main() -> None:
        with running() as server:
            async with Proxy(server.socket) as proxy, aiohttp.ClientSession() as http:
                worker = Bench(server.url)
                await worker.runs().prepare()
                house = House(Bench(proxy.url), http, server)
                await house.serve(quiet_seconds=1)
                try:
                    await cut_off(house, proxy, worker)
                finally:
                    proxy.silent(up=False, down=False)
                    await house.close()
                    await house.bench.client.aclose()
                    await worker.client.aclose()

    run(main())


async def cut_off(house: House, proxy: Proxy, worker: Bench) -> None:
    """A reader follows while the server loses sight of Redis, and a worker writes on."""
    conversation = await house.conversation()
    async with house.socket() as line:
        await line.send(type="follow", conversation=conversation)
        await line.expect("snapshot")
        await house.say(conversation, "hello")
        grant = await worker.take(worker.runs())
        await worker.append(worker.runs(), grant, 0, "one ")
        while (await line.frame())["type"] != "delta":
            pass
        proxy.silent()
        await worker.append(worker.runs(), grant, 4, "two ")
        began = time.monotonic()
        path = f"/api/conversations/{conversation}/turns"
        async with house.http.post(house.served[0].url + path, json={"input": "refused"}) as answer:
            assert answer.status == 503, await answer.text()
            assert int(answer.headers["Retry-After"]) >= 1
        refused = time.monotonic() - began
        async with asyncio.timeout(20):
            assert '"ping"' in str(await line.link.recv())  # the line stands, and says so
        await worker.append(worker.runs(), grant, 8, "three")
        proxy.silent(up=False, down=False)
        began = time.monotonic()
        await worker.runs().final(grant, 1, 13, "completed", b"", [])
        text = ""
        while (frame := await line.frame())["type"] != "end":
            if frame["type"] == "snapshot":
                text = frame["turns"][-1]["text"].removeprefix("one ")
            elif frame["type"] == "delta":
                text += frame["text"]
        assert text == "two three"
        figure("F15", refused_after_s=refused, resumed_s=time.monotonic() - began)
