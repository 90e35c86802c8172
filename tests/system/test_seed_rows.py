"""The second seed's rows that need whole processes: its own `.env`, kills, more than one machine's parts.

Each docstring tells what the seed was measured to do (S) and what is done here (P). The other rows are in
tests/server/test_seeds.py.
"""

import contextlib
import json
import os
import signal
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import websockets.sync.client
from websockets.sync.client import ClientConnection

from tests.redis_servers import Server
from tests.redis_servers import running as redis_running
from tests.system.deployment import PARLEY, Deployment, deployment, environment, running, until, upstream, workplace

PASSWORD, TOKEN = "s3cret-redis", "hf_s3cret"
ROOT = Path(__file__).parents[2]


def get(up: Deployment, method: str, path: str, **query: str) -> tuple[int, Any]:
    """One call as the tutorial makes it. Replies status and JSON."""
    address = f"{up.url}{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def token_of(up: Deployment, name: str = "Bob") -> str:
    """A new session."""
    status, made = get(up, "POST", "/token", name=name)
    assert status == 200, made
    token: str = made["token"]
    return token


def said(up: Deployment, token: str) -> list[str]:
    """What is said in a session."""
    status, session = get(up, "GET", "/refresh_token", token=token)
    assert status == 200, session
    return [message["msg"] for message in session["messages"]]


@contextlib.contextmanager
def chat(up: Deployment, token: str) -> Iterator[ClientConnection]:
    """A socket."""
    address = f"{up.url.replace('http', 'ws', 1)}/chat?token={token}"
    with websockets.sync.client.connect(address, proxy=None, open_timeout=30, close_timeout=1) as link:
        yield link


def frame(link: ClientConnection) -> dict[str, Any]:
    """The next frame."""
    found: dict[str, Any] = json.loads(link.recv(timeout=30))
    return found


def stats(url: str) -> dict[str, Any]:
    """What the upstream has seen."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats", timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def tutorial_env(directory: Path, redis: Server, url: str) -> None:
    """The tutorial's `.env`, letter by letter."""
    lines = {
        "APP_ENV": "development",
        "REDIS_URL": f"127.0.0.1:{redis.port}",
        "REDIS_USER": "default",
        "REDIS_PASSWORD": PASSWORD,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis.port),
        "HUGGINFACE_INFERENCE_TOKEN": TOKEN,
        "MODEL_URL": f"{url.removesuffix('/v1')}/models/EleutherAI/gpt-j-6B",
    }
    (directory / ".env").write_text("".join(f"export {name}={value}\n" for name, value in lines.items()))


@contextlib.contextmanager
def scripted(*arguments: str, **env: str) -> Iterator[tuple[Deployment, str]]:
    """`parley up` with the tutorial's `.env`; gives it and the upstream's URL."""
    with (
        workplace() as directory,
        upstream(directory, "--api-key", TOKEN) as url,
        redis_running(None, "--requirepass", PASSWORD, tcp=True) as redis,
    ):
        tutorial_env(directory, redis, url)
        with deployment(directory, *arguments, **env) as up:
            yield up, url


def test_b01_b36_the_tutorials_env_starts_everything() -> None:
    """S: nothing starts unless APP_ENV is set, and what starts needs two terminals. P: `parley up`, and its steps."""
    with (
        workplace() as directory,
        upstream(directory, "--api-key", TOKEN) as url,
        redis_running(None, "--requirepass", PASSWORD, tcp=True) as redis,
    ):
        tutorial_env(directory, redis, url)
        with deployment(directory) as up:
            assert up.parts("redis-server") == []  # the one it names is used
            assert get(up, "GET", "/test") == (200, {"msg": "API is Online"})
            status, made = get(up, "POST", "/token", name="Bob")
            assert (status, made["name"], made["messages"]) == (200, "Bob", [])
            assert get(up, "POST", "/token", name="") == (400, {"detail": {"loc": "name", "msg": "Enter a valid name"}})
            assert get(up, "POST", "/token")[0] == 422
            with chat(up, made["token"]) as link:
                link.send("Hello")
                assert frame(link)["msg"] == "You said: Hello (1 messages)"
                link.send("Again")
                assert frame(link)["msg"] == "You said: Again (3 messages)"
            seen = stats(url)["last"][-1]
            assert seen["authorization"] == f"Bearer {TOKEN}"
            assert seen["body"]["inputs"] == "Human: Hello Bot: You said: Hello (1 messages) Human: Again Bot:"
            history = get(up, "GET", "/refresh_token", token=made["token"])
            assert [message["msg"][:5] for message in history[1]["messages"]] == ["Human", "Bot: ", "Human", "Bot: "]
            gone = (400, {"detail": "Session expired or does not exist"})
            assert get(up, "GET", "/refresh_token", token="nobody's") == gone
            printed = up.said()
            for secret in (PASSWORD, TOKEN, made["token"]):
                assert secret not in printed
            assert "127.0.0.1" in printed
        # Everything is there after a restart, and the socket's frames were what was kept.
        with deployment(directory) as up:
            assert get(up, "GET", "/refresh_token", token=made["token"]) == history
            with chat(up, made["token"]) as link:
                link.send("Still there?")
                assert frame(link)["msg"] == "You said: Still there? (5 messages)"


def test_b18_b19_b21_two_servers_and_two_workers() -> None:
    """S: of 10 sockets 1 gets its reply; two workers ask the model twice. P: 10 of 10, and one call for each."""
    with scripted("--serves", "2", "--workers", "2") as (up, url):
        tokens = [token_of(up, f"user {number}") for number in range(10)]

        def user(number: int) -> str:
            with chat(up, tokens[number]) as link:
                link.send(f"say 3 tag=u{number} first=0.2")
                msg: str = frame(link)["msg"]
                return msg

        began = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            replies = list(pool.map(user, range(10)))
        print(f"\n10 users on a 0.2 s model, 2 servers, 2 workers: {time.monotonic() - began:.2f} s")
        assert replies == [" ".join(f"u{number}:{at:04d}" for at in range(3)) for number in range(10)]
        seen = stats(url)["stats"]
        assert (seen["started"], set(seen["by_tag"].values())) == (10, {1})


def test_b23_a_server_killed_before_delivery() -> None:
    """S: 0 frames after the reconnect, then the old reply to the new message. P: the reply, before one speaks."""
    with scripted("--serves", "1") as (up, _):
        token = token_of(up)
        with chat(up, token) as link:
            link.send("say 2 tag=a first=1.0")
            until(lambda: len(said(up, token)) == 1)
            [server] = up.parts("serve")
            os.kill(server, signal.SIGKILL)
            with contextlib.suppress(websockets.exceptions.ConnectionClosed):
                raise AssertionError(link.recv(timeout=10))
        up.await_ready()
        with chat(up, token) as link:
            assert frame(link)["msg"] == "a:0000 a:0001"
            link.send("say 1 tag=b")
            assert frame(link)["msg"] == "b:0000"
        assert said(up, token)[1::2] == ["Bot: a:0000 a:0001", "Bot: b:0000"]


def test_b30_a_worker_killed_in_mid_call() -> None:
    """S: the user's message stands twice in the history and in the prompt. P: one message, one answer, whole."""
    with scripted() as (up, url):
        token = token_of(up)
        with chat(up, token) as link:
            link.send("say 4 first=0.7")
            until(lambda: stats(url)["stats"]["active"] == 1)
            [worker] = up.parts("work")
            os.kill(worker, signal.SIGKILL)
            assert frame(link)["msg"] == "t:0000 t:0001 t:0002 t:0003"
            assert said(up, token) == ["Human: say 4 first=0.7", "Bot: t:0000 t:0001 t:0002 t:0003"]
            seen = stats(url)
            assert seen["stats"]["started"] == 2
            assert [each["body"]["inputs"] for each in seen["last"]] == ["Human: say 4 first=0.7 Bot:"] * 2
            link.send("How many?")
            assert frame(link)["msg"] == "You said: How many? (3 messages)"


def test_b29_a_worker_killed_again_and_again_while_the_model_loads() -> None:
    """S: each restart stores the message once more: H,H,H,H,B. P: one message, one answer."""
    with scripted() as (up, url):
        token = token_of(up)
        text = "say 3 status=503 estimated_time=0.3 times=6"
        with chat(up, token) as link:
            link.send(text)
            for number in (1, 3):
                until(lambda least=number: stats(url)["stats"]["started"] >= least)  # type: ignore[misc]
                [worker] = until_one(up)
                os.kill(worker, signal.SIGKILL)
            assert frame(link)["msg"] == "t:0000 t:0001 t:0002"
        assert said(up, token) == [f"Human: {text}", "Bot: t:0000 t:0001 t:0002"]


def until_one(up: Deployment) -> list[int]:
    """The one worker, once there is one."""
    until(lambda: len(up.parts("work")) == 1)
    return up.parts("work")


def test_b31_b42_a_session_that_expires_in_the_queue_and_a_worker_elsewhere() -> None:
    """S: an expired session kills every worker that meets its message, for ever: all users blocked.

    P: it is answered or dropped, and harms nobody. And, as the tutorial says, the worker can run anywhere.
    """
    with scripted("--workers", "0", PARLEY_LIFETIMES_SESSION_IDLE="2") as (up, url):
        over = token_of(up)
        with chat(up, over) as link:
            link.send("say 2 tag=over")
            until(lambda: len(said(up, over)) == 1)
        time.sleep(2.2)  # its life
        until(lambda: get(up, "GET", "/refresh_token", token=over)[0] == 400)
        with contextlib.suppress(websockets.exceptions.ConnectionClosed), chat(up, over) as link:
            raise AssertionError(link.recv(timeout=10))
        assert link.close_code == 1008
        token = token_of(up)
        with chat(up, token) as link:
            link.send("say 2 tag=fine")
            command = [*PARLEY, "work", "--data", str(up.directory / "elsewhere")]
            with running(command, up.directory / "work.log", environment()) as worker:
                assert frame(link)["msg"] == "fine:0000 fine:0001"
                link.send("say 2 tag=again")
                assert frame(link)["msg"] == "again:0000 again:0001"
                assert worker.process.poll() is None
        assert stats(url)["stats"]["by_tag"] == {"over": 1, "fine": 1, "again": 1}


def test_b37_b38_what_the_project_is_made_of() -> None:
    """S: aioredis, which does not import; no requirements, tests or CI. P: kept libraries, locked; all of these."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {each.split(">")[0].split("[")[0].split(";")[0].strip() for each in project["dependencies"]}
    assert "redis" in named
    assert "aioredis" not in named
    locked = (ROOT / "requirements.lock").read_text()
    assert all(f"{name.lower().replace('_', '-')}==" in locked for name in named)
    assert (ROOT / ".ci" / "run").exists()
