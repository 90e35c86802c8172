"""Parley inside somebody's own program, mounted below a path."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from parley import App, Client, NotAllowed
from tests.redis_servers import free_port
from tests.redis_servers import running as redis_running
from tests.system.deployment import Process, environment, running, until, workplace

SHOP = """
import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from parley import App, model


@model("shout")
async def shout(messages, **options):
    for word in messages[-1].content.upper().split():
        await asyncio.sleep(0.02)
        yield word + " "


async def home(request):
    return PlainTextResponse("the shop")


chat = App({arguments})
app = Starlette(routes=[Route("/", home), Mount("/chat", chat)]{lifespan})
"""


@contextlib.contextmanager
def shop(directory: Path, arguments: str, *, lifespan: bool = False, run: str = "app") -> Iterator[tuple[str, Process]]:
    """The program, served by uvicorn as it comes."""
    (directory / "shop.py").write_text(
        SHOP.format(arguments=arguments, lifespan=", lifespan=chat.lifespan" if lifespan else "")
    )
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), f"shop:{run}"]
    with running(command, directory / f"{port}.log", environment(HOME=str(directory))) as process:
        until(lambda: "Uvicorn running" in process.said() or process.process.poll() is not None, what="uvicorn")
        yield f"http://127.0.0.1:{port}", process


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_running() as server:
        yield server.url


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("lifespan", [False, True])
def test_everything_is_below_the_path(redis_url: str, lifespan: bool) -> None:
    arguments = f"redis={redis_url!r}, prefix='shop{lifespan}:'"
    with workplace() as directory, shop(directory, arguments, lifespan=lifespan) as (url, process):
        assert get(url) == (200, "the shop")
        assert get(f"{url}/chat/readyz")[0] == 200
        assert get(f"{url}/readyz")[0] == 404
        with Client(f"{url}/chat") as client:
            chat = client.conversation()
            assert "".join(chat.say("good morning to you")) == "GOOD MORNING TO YOU "
            assert [event.type for event in chat.follow(until="idle")] == ["snapshot"]
            assert client.models().names() == ["shout"]
        status, stream = get(f"{url}/chat/api/conversations/{chat.id}/events?until=idle")
        assert status == 200
        assert "event: snapshot" in stream
        openai = OpenAI(base_url=f"{url}/chat/v1", api_key="local")
        assert openai.responses.create(model="shout", input="hello there").output_text == "HELLO THERE "
        openai.close()
        assert process.kill(signal.SIGTERM) in (0, -signal.SIGTERM)
        assert "Traceback" not in process.said()


def test_a_reply_goes_on_when_the_program_is_started_again(redis_url: str) -> None:
    words = " ".join(f"w{number}" for number in range(100))
    with workplace() as directory:
        arguments = f"redis={redis_url!r}, prefix='again:'"
        with shop(directory, arguments, lifespan=True) as (url, process):
            client = Client(f"{url}/chat")
            reply = client.conversation("tale").say(words)
            until(lambda: len(reply.partial) > 50)
            assert process.kill(signal.SIGTERM) in (0, -signal.SIGTERM)
            assert "Traceback" not in process.said()
        client.close()
        with shop(directory, arguments, lifespan=True) as (url, _), Client(f"{url}/chat") as client:
            chat = client.conversation("tale")
            list(chat.follow(until="idle"))
            assert chat.get().turns[-1].text == words.upper() + " "


def test_it_can_be_started_again_in_another_loop(redis_url: str) -> None:
    async def main() -> None:
        for _ in range(2):
            async with made.lifespan():
                pass

    made = App(redis=redis_url, prefix="loops:", model_url="http://127.0.0.1:1", model="none")
    for _ in range(2):
        asyncio.run(main())


def test_it_starts_a_redis_of_its_own_and_keeps_what_was_said() -> None:
    with workplace() as directory:
        arguments = f"data={str(directory / 'data')!r}"
        with shop(directory, arguments, run="chat") as (url, process), Client(url) as client:
            assert client.conversation("kept").say("yes").text == "YES "
            assert process.kill(signal.SIGTERM) in (0, -signal.SIGTERM)
            assert "Traceback" not in process.said()
        with shop(directory, arguments, run="chat") as (url, process), Client(url) as client:
            assert client.conversation("kept").get().turns[-1].text == "YES "
            (redis,) = process.parts("redis-server")
            os.kill(redis, signal.SIGKILL)
            until(lambda: process.parts("redis-server") not in ([], [redis]))
            assert client.conversation("kept").say("again").text == "AGAIN "


def test_without_a_key_it_answers_this_machine_alone(redis_url: str) -> None:
    with workplace() as directory, shop(directory, f"redis={redis_url!r}") as (url, _):
        assert get(f"{url}/chat/api/models", Host="shop.example")[0] == 421
        # uvicorn takes the word of a proxy on this machine for who asks.
        status, body = get(f"{url}/chat/api/models", **{"X-Forwarded-For": "192.0.2.7"})
        assert (status, json.loads(body)["error"]["code"]) == (403, "access_key_required")
    arguments = f"redis={redis_url!r}, access_key='secret', hosts=['shop.example']"
    with workplace() as directory, shop(directory, arguments) as (url, _):
        headers = {"X-Forwarded-For": "192.0.2.7", "Host": "shop.example", "Authorization": "Bearer secret"}
        assert get(f"{url}/chat/api/models", **headers)[0] == 200
        with Client(f"{url}/chat", "wrong") as client, pytest.raises(NotAllowed):
            client.models()


def test_a_program_that_cannot_start_says_why(redis_url: str) -> None:
    arguments = f"redis={redis_url!r}, model_url='http://127.0.0.1:1'"
    with workplace() as directory, shop(directory, arguments, run="chat") as (_, process):
        until(lambda: process.process.poll() is not None)
        assert "http://127.0.0.1:1 (from App()) does not list its models" in process.said()
    with pytest.raises(TypeError, match="did you mean 'redis'"):
        App(reddis="x")
    with pytest.raises(ValueError, match=r"prefix \(from App\(\)\) cannot be used"):
        App(prefix="a b")
    with pytest.raises(ValueError, match=r"workers \(from App\(\)\) cannot be used"):
        App(workers=-1)


def test_a_function_is_a_model_of_parley_up(redis_url: str) -> None:
    with workplace() as directory:
        (directory / "shop.py").write_text(SHOP.format(arguments=f"redis={redis_url!r}", lifespan=""))
        port = free_port()
        command = [sys.executable, "-m", "parley", "up", "--port", str(port), "--data", str(directory / "data")]
        command += ["--model", "shop:shout"]
        with running(command, directory / "up.log", environment()) as process:
            until(lambda: "ready in" in process.said() or process.process.poll() is not None)
            assert "shout: a function of yours (--model)" in process.said()
            with Client(f"http://127.0.0.1:{port}") as client:
                assert client.conversation().say("loud").text == "LOUD "
        for reference, reason in (("shop:nothing", "has no 'nothing'"), ("shop:home", "asynchronous generator")):
            ran = subprocess.run(
                [*command[:-1], reference],
                cwd=directory,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert ran.returncode == 2
            assert reason in ran.stderr
