"""The programs the library was drawn from, each as readable as it was drawn, with everything real behind it.

The sixth, a model and a mounted application of one's own, is in test_app.py.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.testing import Server
from tests.redis_servers import running as redis_running
from tests.system.deployment import environment

CAPITALS = {"Italy": "Rome", "France": "Paris", "Spain": "Madrid"}

THREE_LINES = """
from parley import Client
with Client() as client:
    chat = client.conversation(system="I name a country, you name its capital.")
    print(chat.say("Italy").text)
    for delta in chat.say("France"):
        print(delta, end="", flush=True)
"""
ASYNC = """
import asyncio
from parley import AsyncClient

async def main(send_text):
    async with AsyncClient(URL) as client:
        chat = await client.conversation(id="geo", expire="7d")
        async with chat.say("Spain", key="order-17") as reply:
            async for delta in reply:
                await send_text(delta)
        print(reply.status, reply.usage.output_tokens, reply.first_token_ms)

async def send_text(text):
    print(text)

asyncio.run(main(send_text))
"""
LATER = """
from parley import Client
client = Client()
client.conversation("later", title="Capitals").say("Italy").wait()
cursor = None
for event in client.follow("later", after=cursor, until="idle"):
    cursor = event.cursor
print(event.type, event.data["turns"][-1]["text"])
client.conversation("later").say("France")
for event in client.follow("later", after=cursor, until="idle"):
    print(event.type)
"""
OPENAI = """
from openai import OpenAI
client = OpenAI(base_url=URL + "/v1", api_key="local")
conv = client.conversations.create()
stream = client.responses.create(
    model="scripted", conversation=conv.id, input="say 50 delay=0.01", stream=True, background=True
)
for event in stream:
    last = event.sequence_number
    if event.type == "response.created": rid = event.response.id
    if last > 20: break
text = ""
for event in client.responses.retrieve(rid, stream=True, starting_after=last):
    assert event.sequence_number == last + 1
    last = event.sequence_number
print(event.type)
"""
SEEDS = """
from parley.seeds import chat, history
hi = history.History({}); hi.save("system:I tell the country you tell the capital")
ch = chat.Chat({}); history.History({"state": hi.id()}).load(ch)
ch.add("user:Italy"); out = ch.complete(); hi.save(f"assistant:{out}")
print(out)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(answers=CAPITALS) as made:
        yield made


def run(program: str, server: Server, **variables: str) -> str:
    """What a program prints, told by its environment where the server is."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program.replace("URL", repr(server.url))],
        env=environment(PARLEY_URL=server.url, **variables), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_three_lines(server: Server) -> None:
    assert run(THREE_LINES, server) == "Rome\nParis"


def test_the_same_words_for_an_event_loop(server: Server) -> None:
    for _ in range(2):  # the same key asks once
        text, told = run(ASYNC, server).splitlines()
        status, tokens, milliseconds = told.split()
        assert (text, status, int(tokens)) == ("Madrid", "completed", 1)
        assert float(milliseconds) > 0
    assert server.asked.by_tag.get("Spain", 0) <= 1


def test_coming_back_later(server: Server) -> None:
    first, *rest = run(LATER, server).splitlines()
    assert first == "snapshot Rome"
    assert rest[0] == "queued"
    assert rest[-1] == "end"


def test_the_openai_sdk(server: Server) -> None:
    assert run(OPENAI, server) == "response.completed\n"


def test_the_seeds_classes(server: Server, tmp_path: Path) -> None:
    from parley.testing import ScriptedUpstream

    async def main() -> str:
        async with ScriptedUpstream(answers=CAPITALS, models=("llama3.1:8b",)) as upstream:
            with redis_running(tcp=True) as redis:
                return await asyncio.to_thread(
                    run, SEEDS, server, REDIS_URL=redis.url, REDIS_PREFIX="me:", OLLAMA_HOST=upstream.root, AUTH="u:p"
                )

    assert asyncio.run(main()) == "Rome\n"
