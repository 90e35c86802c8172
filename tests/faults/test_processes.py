"""F09, F10, F32, F36, F38: processes that are restarted, missing or short of something; models that answer badly."""

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from parley import AsyncClient
from parley.client.errors import ModelError
from parley.core.limits import Timing
from parley.models.registry import Models
from parley.models.settings import ModelSettings
from parley.testing.upstream import ScriptedUpstream
from tests.faults.catalogue import times
from tests.faults.figures import figure, silence
from tests.faults.stage import said, until
from tests.store.harness import run
from tests.system.deployment import Deployment, configuration, deployment, upstream, workplace
from tests.worker.test_worker import crew

SETTINGS = '[[models]]\nname = "scripted"\nurl = "{url}"\nmodel = "scripted"\nbackend = "llama.cpp"\n'
# Of a web server, with every push; 500 by hand.
SOCKETS = times(60, 500)


def test_no_worker_for_a_while() -> None:
    async def main() -> None:
        async with crew(Timing(lease=2.0, scan=0.1)) as c:
            spoken = []
            for number in range(times(30, 300)):
                conversation = await c.bench.conversation(model="counting")
                spoken.append((conversation, (await c.bench.say(conversation, f"w{number} 3")).turn))
            began = time.monotonic()
            c.start("a")
            for conversation, turn in spoken:
                assert (await c.ended(conversation, turn)).turns[turn].status == "completed"
            figure("F10", waiting=len(spoken), all_answered_s=time.monotonic() - began)

    run(main())


# What the model is told to do, how the turn ends, how much of the text stands, how often the model is asked.
BAD: dict[str, tuple[str, str, int, int]] = {
    "say 5 status=429 retry_after=0 times=1": ("completed", "", 5, 2),
    "say 5 status=500 times=1": ("completed", "", 5, 2),
    "say 5 status=400": ("failed", "upstream_error", 0, 1),
    "say 5 status=401": ("failed", "upstream_auth", 0, 1),
    "say 5 html": ("failed", "upstream_invalid", 0, 1),
    "say 5 garbage": ("failed", "upstream_invalid", 0, 1),
    "say 5 cut=0 times=1": ("completed", "", 5, 2),
    "say 5 cut=3": ("failed", "upstream_cut", 3, 1),
    "say 5 error=3": ("failed", "upstream_error", 3, 1),
    "say 5 hang=3": ("failed", "upstream_stalled", 3, 1),
    "say 5 nodone": ("completed", "", 5, 1),
    "say 5 nofinish": ("failed", "upstream_cut", 5, 1),
    "say 5 nulls": ("completed", "", 5, 1),
    "say 5 drip": ("completed", "", 5, 1),
    "say 5 finish=length": ("incomplete", "", 5, 1),
}


def test_models_that_answer_badly() -> None:
    async def main() -> None:
        async with ScriptedUpstream(models=("scripted",)) as model, crew(Timing(lease=2.0, scan=0.1, stall=1.0)) as c:
            named = ModelSettings(name="bad", url=model.url, model="scripted", backend="openai")
            c.models = Models((named,))
            c.start("a")
            for number, (script, (status, code, tokens, asked)) in enumerate(BAD.items()):
                conversation = await c.bench.conversation(model="bad")
                receipt = await c.bench.say(conversation, f"{script} tag=t{number}")
                await c.ended(conversation, receipt.turn)
                outcome = await c.outcome(conversation, receipt.turn)
                found = (outcome.status, outcome.error.code if outcome.error else "", outcome.body)
                assert found == (status, code, said(f"t{number}", tokens)), script
                assert model.stats.by_tag[f"t{number}"] == asked, script
            figure("F36", kinds=len(BAD))

    run(main())


async def listeners(up: Deployment, http: aiohttp.ClientSession, conversation: str) -> list[Any]:
    """Sockets that follow a conversation."""
    found = []
    for _ in range(SOCKETS):
        socket = await http.ws_connect(f"{up.url}/api/socket")
        await socket.send_json({"type": "follow", "conversation": conversation})
        assert (await socket.receive_json(timeout=30))["type"] == "snapshot"
        found.append(socket)
    return found


def test_a_web_server_killed_under_its_sockets_and_workers_restarted_in_turn() -> None:
    async def main(up: Deployment) -> None:
        async with AsyncClient(up.url) as client, aiohttp.ClientSession() as http:
            await short_of_files(up, client, http)
            conversation = (await client.create()).id
            sockets = await listeners(up, http, conversation)
            reply = client.say(conversation, "say 300 tag=a delay=0.02")
            await reply.accepted()
            listening = asyncio.create_task(silence(reply))
            os.kill(up.parts("serve")[0], signal.SIGKILL)
            began = time.monotonic()
            posted = client.say((await client.create()).id, "say 3 tag=b")
            for socket in sockets:  # each hears of it at once
                async with asyncio.timeout(30):
                    while not (await socket.receive()).type.name.startswith("CLOS"):
                        pass
            again = await listeners(up, http, conversation)
            figure("F32", sockets=SOCKETS, all_back_s=time.monotonic() - began)
            restarts = times(2, 20)
            for _ in range(restarts):
                for pid in up.parts("work"):
                    os.kill(pid, signal.SIGTERM)
                    await until(lambda pid=pid: pid not in up.parts("work"), "a worker to go")  # type: ignore[misc]
                    await until(lambda: len(up.parts("work")) == 2, "another worker")
            assert (await posted).text == said("b", 3)
            assert (await reply).text == said("a", 300)
            turns = await client.history(conversation)
            assert [turn.status for turn in turns] == ["completed"]
            figure("F09", workers_restarted=2 * restarts, longest_silence_s=await listening)
            await short_of_memory(up, client)
            for socket in (*sockets, *again):
                await socket.close()

    with workplace() as directory, upstream(directory) as url:
        settings = configuration(directory, SETTINGS.format(url=url))
        with deployment(directory, "--config", settings, "--workers", "2") as up:
            asyncio.run(main(up))


async def short_of_files(up: Deployment, client: AsyncClient, http: aiohttp.ClientSession) -> None:
    """F38: a web server that may open no more files refuses, and serves everyone once it may again."""
    conversation = (await client.create()).id
    assert (await client.say(conversation, "say 3 tag=before")).text == said("before", 3)  # a line that stands
    (pid,) = up.parts("serve")
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lowest = next(number for number in range(len(held) + 1) if number not in held)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
    # Refused as long as no file can be synced, and said again by the client until it is accepted.
    reply = client.say(conversation, "say 3 tag=files")
    async with contextlib.AsyncExitStack() as held_open:
        asked = await asyncio.gather(*(ask_and_stay(up, held_open) for _ in range(30)))
    refused = asked.count(False)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with http.get(f"{up.url}/readyz") as answer:
                    if answer.status == 200:
                        break
            await asyncio.sleep(0.05)
    assert (await reply).text == said("files", 3)
    assert up.parts("serve") == [pid]
    assert refused > 0
    figure("F38", connections_refused=refused)


async def ask_and_stay(up: Deployment, held_open: contextlib.AsyncExitStack) -> bool:
    """Whether a new connection is answered; it is kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    held_open.callback(writer.close)
    writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{up.port}\r\n\r\n".encode())
    try:
        async with asyncio.timeout(2):
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except (OSError, TimeoutError):
        return False


async def short_of_memory(up: Deployment, client: AsyncClient) -> None:
    """F38: a worker that gets no more memory ends its turns visibly, or dies and another one answers them."""
    short = up.parts("work")
    for pid in short:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (4 << 20)
        resource.prlimit(pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    replies = [client.say((await client.create()).id, f"say 20 tag=m{number} huge=200000") for number in range(20)]
    for reply in replies:
        with contextlib.suppress(ModelError):
            await reply
    found = Counter(reply.status for reply in replies)
    assert found["completed"] + found["failed"] == len(replies)
    for pid in set(short) & set(up.parts("work")):
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    again = client.say((await client.create()).id, "say 3 tag=again")
    assert (await again).text == said("again", 3)
    figure("F38", short_of_memory=len(replies), completed=found["completed"], failed=found["failed"])
