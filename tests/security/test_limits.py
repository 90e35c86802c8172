"""X15, B72: rates and budgets as clients meet them, over servers and restarts."""

import contextlib
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parley.core.limits import Limits
from parley.core.turn import Usage
from parley.server.visit import HEADERS, network_of
from parley.wire.record import encode_extra
from tests.redis_servers import binaries, free_port
from tests.redis_servers import running as redis_running
from tests.server.harness import House, house
from tests.server.test_auth import BEARER, KEY, session
from tests.store.harness import run
from tests.system.deployment import PARLEY, Process, environment, running, until, workplace

Headers = dict[str, str]


async def ask(home: House, path: str, body: Any, headers: Headers, served: int = 0) -> tuple[int, Any, Headers]:
    """A POST: status, body, headers."""
    async with home.http.post(home.served[served].url + path, json=body, headers=headers) as answer:
        return answer.status, await answer.json(), {name.lower(): value for name, value in answer.headers.items()}


def test_a_session_is_told_how_it_stands() -> None:
    async def main() -> None:
        async with house(access_key=KEY, servers=2, bench_options={"limits": Limits(posts=3)}) as home:
            ann, bob = await session(home), await session(home, "Bob")
            made = await home.call("POST", "/api/conversations", {}, expect=201, headers=ann)
            path = f"/api/conversations/{made['id']}/turns"
            keyed = ann | {"Idempotency-Key": "one"}
            status, _, told = await ask(home, path, {"input": "x"}, keyed)
            assert (status, told[HEADERS[0]], told[HEADERS[1]], told[HEADERS[2]]) == (202, "3", "2", "20s")
            for served in (1, 0):
                assert (await ask(home, path, {"input": "x"}, ann, served))[0] == 202
            for served in (0, 1):
                status, body, told = await ask(home, path, {"input": "x"}, ann, served)
                assert (status, body["error"]["code"], body["error"]["type"]) == (
                    429,
                    "rate_limit_exceeded",
                    "rate_limit_error",
                )
                assert 1 <= int(told["retry-after"]) <= 20
                assert (told[HEADERS[0]], told[HEADERS[1]]) == ("3", "0")
                # What was accepted once is accepted.
                status, body, _ = await ask(home, path, {"input": "x"}, keyed, served)
                assert (status, body["replayed"]) == (200, True)
            # By whatever way in.
            chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
            for where, said in (
                ("/v1/chat/completions", chat),
                ("/v1/chat/completions", chat | {"stream": True}),
                ("/v1/responses", {"input": "x"}),
                ("/api/chat", chat),
                (
                    "/ai/chat",
                    {"id": "x", "messages": [{"id": "a", "role": "user", "parts": [{"type": "text", "text": "x"}]}]},
                ),
            ):
                status, body, told = await ask(home, where, said, ann)
                assert status == 429, (where, body)
                assert (int(told["retry-after"]) > 0, told[HEADERS[1]]) == (True, "0"), where
            async with home.socket(additional_headers=ann) as line:
                await line.send(type="say", conversation=path.split("/")[3], input="x", id="1")
                frame = await line.expect("error")
                assert (frame["error"]["code"], frame["retry_after"] > 0) == ("rate_limit_exceeded", True)
            # Neither others nor the owner are concerned.
            for who, most in ((bob, 3), (BEARER, 9)):
                made = await home.call("POST", "/api/conversations", {}, expect=201, headers=who)
                for _ in range(most):
                    status, _, told = await ask(home, f"/api/conversations/{made['id']}/turns", {"input": "x"}, who)
                    assert (status, HEADERS[0] in told) == (202, who is bob)

    run(main())


def test_where_everyone_is_the_owner_there_is_no_rate() -> None:
    """A person on a machine of their own never meets one, nor does a program there that speaks often."""

    async def main() -> None:
        async with house(bench_options={"limits": Limits(posts=1, posts_per_address=1, sessions=1)}) as home:
            for headers in ({}, await session_without_key(home), await session_without_key(home)):
                made = await home.call("POST", "/api/conversations", {}, expect=201, headers=headers)
                for _ in range(3):
                    assert (await ask(home, f"/api/conversations/{made['id']}/turns", {"input": "x"}, headers))[
                        0
                    ] == 202

    run(main())


async def session_without_key(home: House) -> Headers:
    made = await home.call("POST", "/api/sessions", {"name": "Ann"}, expect=201)
    return {"Authorization": f"Bearer {made['token']}"}


def test_an_address_is_that_of_the_peer_or_what_a_listed_proxy_says() -> None:
    """X11: nobody gets a limit of their own, or somebody else's, by saying so."""

    async def main() -> None:
        limits = {"limits": Limits(posts=100, posts_per_address=2, sessions=3)}
        for proxies, refused in ((("127.0.0.0/8",), True), (("192.0.2.0/24",), False), ((), False)):
            async with house(access_key=KEY, proxies=proxies, bench_options=limits) as home:
                far = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https"}
                found = []
                for number in range(4):
                    body = {"name": f"n{number}"}
                    found.append((await ask(home, "/api/sessions", body, BEARER | far))[0])
                assert found == [201, 201, 201, 429 if refused else 201]
                ann = await session(home)
                made = await home.call("POST", "/api/conversations", {}, expect=201, headers=ann)
                path = f"/api/conversations/{made['id']}/turns"
                for expected in (202, 202, 429 if refused else 202):
                    assert (await ask(home, path, {"input": "x"}, ann | far))[0] == expected
                # Another address behind the same proxy, and this machine itself.
                for headers in (ann | {"X-Forwarded-For": "203.0.113.10"}, ann):
                    assert (await ask(home, path, {"input": "x"}, headers))[0] == 202
                # The scheme as well is believed from listed proxies alone.
                secure = {"Origin": f"https://127.0.0.1:{home.served[0].port}", "X-Forwarded-Proto": "https"}
                assert (await ask(home, path, {"input": "x"}, ann | secure))[0] == (202 if refused else 403)

    run(main())


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", ""), ("127.9.9.9", ""), ("::1", ""), ("::ffff:127.0.0.1", ""), ("", ""), ("a name", ""),
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::5%eth0", "2001:db8:1:2::/64"), ("10.0.0.1", "10.0.0.1"),
    ],
)  # fmt: skip
def test_whom_an_address_stands_for(host: str, name: str) -> None:
    assert network_of(host) == name


def test_a_spent_budget_is_told_and_a_models_holds_for_the_owner() -> None:
    async def main() -> None:
        limits = {"limits": Limits(session_tokens=50)}
        async with house(access_key=KEY, model_tokens={"m": 80}, default="m", bench_options=limits) as home:
            ann = await session(home)
            for who, answers in ((ann, (202, 429)), (BEARER, (202, 429))):
                made = await home.call("POST", "/api/conversations", {}, expect=201, headers=who)
                for expected in answers:
                    path = f"/api/conversations/{made['id']}/turns"
                    status, body, told = await ask(home, path, {"input": "x"}, who)
                    assert status == expected, body
                    if status == 202:
                        runs = home.bench.runs()
                        grant = await home.bench.take(runs)
                        await runs.final(grant, 1, 0, "completed", encode_extra(usage=Usage(40, 20)), [])
                    else:
                        assert body["error"]["code"] == "insufficient_quota"
                        assert 0 < int(told["retry-after"]) <= 86_400
            chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
            status, body, told = await ask(home, "/v1/chat/completions", chat, BEARER)
            # Nothing is gained by trying again soon: OpenAI's clients are told so.
            assert (status, body["error"]["code"], told["x-should-retry"]) == (429, "insufficient_quota", "false")
            assert (await ask(home, path, {"input": "x", "model": "other"}, BEARER))[0] == 202

    run(main())


# Real processes.


@contextlib.contextmanager
def serving(directory: Path, redis_url: str, **env: str) -> Iterator[tuple[Process, str]]:
    """A `parley serve` of its own."""
    port = free_port()
    command = [*PARLEY, "serve", "--port", str(port), "--redis", redis_url]
    with running(command, directory / f"serve-{port}.log", environment(**env)) as process:
        yield process, f"http://127.0.0.1:{port}"


def post(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ready(process: Process, url: str) -> bool:
    assert process.process.poll() is None, process.said()
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5):
        return True
    return False


def test_a_rate_holds_over_four_servers_and_all_restarts() -> None:
    """Real processes: four servers, which are replaced, and a Redis, which is stopped and started in between."""
    env = {"PARLEY_ACCESS_KEY": KEY, "PARLEY_LIMITS_POSTS": "4", "MODEL_URL": "http://127.0.0.1:9/v1"}
    owner, most = {"Authorization": f"Bearer {KEY}"}, 60.0
    with workplace() as directory, redis_running(list(binaries().values())[-1]) as server:

        def servers(stack: contextlib.ExitStack) -> list[str]:
            found = [stack.enter_context(serving(directory, server.url, **env)) for _ in range(4)]
            for process, url in found:
                until(lambda process=process, url=url: ready(process, url), most, "a server")  # type: ignore[misc]
            return [url for _, url in found]

        with contextlib.ExitStack() as stack:
            urls = servers(stack)
            status, made = post(f"{urls[0]}/api/sessions", {"name": "Ann"}, **owner)
            assert status == 201
            ann = {"Authorization": f"Bearer {made['token']}"}
            conversation = post(f"{urls[1]}/api/conversations", {}, **ann)[1]["id"]
            path = f"/api/conversations/{conversation}/turns"
            began = time.monotonic()
            told = [post(urls[at % 4] + path, {"input": "x"}, **ann, **key(at))[0] for at in range(8)]
            accepted = told.count(202)
            assert told[:4] == [202] * 4
            assert set(told) <= {202, 429}
            server.kill(signal.SIGTERM)
            server.start()
            for url in urls:
                until(lambda url=url: post(url + path, {"input": "x"}, **ann, **key(0))[0] == 200, most)  # type: ignore[misc]
            accepted += [post(url + path, {"input": "x"}, **ann)[0] for url in urls].count(202)
        with contextlib.ExitStack() as stack:
            urls = servers(stack)
            accepted += [post(url + path, {"input": "x"}, **ann)[0] for url in urls].count(202)
            # One more for every 15 s that this took.
            assert accepted <= 4 + (time.monotonic() - began) / 15
            assert post(urls[3] + path, {"input": "x"}, **ann, **key(0))[0] == 200


def key(number: int) -> Headers:
    return {"Idempotency-Key": f"key-{number}"}
