"""Ollama's API on the wire; its official clients are in tests/compat."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from parley.server.config import Choice
from parley.wire.ollama.context import unpack
from tests.server.openai.harness import Office, office
from tests.server.shared import Shared, shared
from tests.store.harness import run

CHAT, GENERATE = "/api/chat", "/api/generate"
K = 1024
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def saying(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "model", "messages": [{"role": "user", "content": text}], **more}


async def lines(it: Office, path: str, body: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """The objects of a stream."""
    async with it.home.http.post(it.home.served[0].url + path, json=body, **options) as answer:
        data = await answer.read()
        assert answer.status == 200, data
        assert answer.headers["content-type"] == "application/x-ndjson"
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def test_a_stream_of_a_chat() -> None:
    async def main() -> None:
        async with office() as it:
            body = saying("say 5 reasoning=2 delay=0.02", options={"temperature": 0.5, "num_predict": -1, "top_k": 3})
            *parts, last = await lines(it, CHAT, body)
            assert all(part["done"] is False and part["message"]["role"] == "assistant" for part in parts)
            assert "".join(part["message"]["content"] for part in parts) == "".join(f"t:{at:04d} " for at in range(5))
            assert "".join(part["message"].get("thinking", "") for part in parts) == "think:0000 think:0001 "
            assert last["message"] == {"role": "assistant", "content": ""}
            assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "stop", 5)
            assert last["prompt_eval_count"] == 4
            times = [last[name] for name in ("load_duration", "prompt_eval_duration", "eval_duration")]
            assert sum(times) == last["total_duration"]
            assert last["eval_duration"] > 0
            asked = it.upstream.seen[-1].body
            assert (asked["temperature"], "max_tokens" in asked, "top_k" in asked) == (0.5, False, False)
            # Nothing is kept.
            assert (await it.home.call("GET", "/api/conversations"))["data"] == []

    run(main())


def test_a_whole_chat() -> None:
    async def main() -> None:
        async with office() as it:
            options = {
                "num_predict": 30,
                "stop": ["x"],
                "seed": 7,
                "top_p": 0.9,
                "presence_penalty": 1,
                "frequency_penalty": -1,
            }
            body = saying(
                "say 3 reasoning=1 finish=length", stream=False, options=options, think="high", keep_alive="5m"
            )
            made = await it.home.call("POST", CHAT, body)
            assert made["message"] == {
                "role": "assistant",
                "content": "t:0000 t:0001 t:0002 ",
                "thinking": "think:0000 ",
            }
            assert (made["model"], made["done"], made["done_reason"]) == ("model", True, "length")
            asked = it.upstream.seen[-1].body
            wanted = {"max_tokens": 30, "stop": ["x"], "seed": 7, "top_p": 0.9, "reasoning_effort": "high"}
            assert wanted.items() <= asked.items()
            quiet = await it.home.call("POST", CHAT, saying("say 3 reasoning=1", stream=False, think=False))
            assert "thinking" not in quiet["message"]

    run(main())


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ("json", {"type": "json_object"}),
        ({"type": "object"}, {"type": "json_schema", "json_schema": {"name": "format", "schema": {"type": "object"}}}),
        ("", None),
    ],
)
def test_formats(asked: Any, passed: Any) -> None:
    async def main() -> None:
        async with office() as it:
            await it.home.call("POST", CHAT, saying("hello", stream=False, format=asked))
            assert it.upstream.seen[-1].body.get("response_format") == passed

    run(main())


def test_calls_have_objects_for_arguments() -> None:
    async def main() -> None:
        async with office() as it:
            body = saying("say 1 calls=2 tag=look", tools=[TOOL])
            *parts, last = await lines(it, CHAT, body)
            calls = [call for part in parts for call in part["message"].get("tool_calls", [])]
            assert [call["function"] for call in calls] == [
                {"name": "look", "arguments": {"number": 0}},
                {"name": "look", "arguments": {"number": 1}},
            ]
            assert last["done_reason"] == "stop"
            ways: list[list[dict[str, str]]] = [
                [{"tool_name": "look"}, {"tool_name": "look"}],
                [{}, {}],
                [{"tool_call_id": call["id"]} for call in calls],
            ]
            for answers in ways:
                said: Any = [
                    *body["messages"],
                    {"role": "assistant", "content": "look:0000 ", "thinking": "hm", "tool_calls": calls},
                    *({"role": "tool", "content": str(n), **each} for n, each in enumerate(answers)),
                ]
                await lines(it, CHAT, {"model": "model", "messages": said, "tools": [TOOL]})
                messages = it.upstream.seen[-1].body["messages"]
                assert [each["role"] for each in messages] == ["user", "assistant", "tool", "tool"]
                ids = [call["id"] for call in messages[1]["tool_calls"]]
                assert [(each["tool_call_id"], each["content"]) for each in messages[2:]] == [
                    (ids[0], "0"),
                    (ids[1], "1"),
                ]

    run(main())


def test_generate_and_its_context() -> None:
    async def main() -> None:
        async with office() as it:
            body: dict[str, Any] = {"model": "model:latest", "prompt": "hello", "system": "Be brief.", "stream": False}
            made = await it.home.call("POST", GENERATE, body)
            assert (made["model"], made["response"]) == ("model:latest", "You said: hello (2 messages)")
            assert [(message.role, message.content) for message in unpack(made["context"])] == [
                ("user", "hello"),
                ("assistant", made["response"]),
            ]
            body |= {"prompt": "again", "context": made["context"], "stream": None}
            *parts, last = await lines(it, GENERATE, body)
            assert "".join(part["response"] for part in parts) == "You said: again (4 messages)"
            assert last["response"] == ""
            assert len(unpack(last["context"])) == 4
            assert [each["role"] for each in it.upstream.seen[-1].body["messages"]] == [
                *("system", "user", "assistant", "user")
            ]

    run(main())


def test_images() -> None:
    async def main() -> None:
        async with office() as it:
            said = saying("hello", stream=False)
            said["messages"][0]["images"] = [PNG]
            await it.home.call("POST", CHAT, said)
            await it.home.call(
                "POST", GENERATE, {"model": "model", "prompt": "hello", "images": [PNG], "stream": False}
            )
            for seen in it.upstream.seen:
                text, image = seen.body["messages"][0]["content"]
                assert text == {"type": "text", "text": "hello"}
                assert image["image_url"]["url"] == f"data:image/png;base64,{PNG}"

    run(main())


@pytest.mark.parametrize(
    ("path", "more", "reason"),
    [
        (GENERATE, {}, "load"),
        (GENERATE, {"prompt": "", "keep_alive": 0}, "unload"),
        (CHAT, {}, "load"),
        (CHAT, {"messages": [], "keep_alive": "0"}, "unload"),
    ],
)
def test_nothing_said_asks_no_model(path: str, more: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        async with office() as it:
            made = await it.home.call("POST", path, {"model": "model", **more})
            assert (made["done"], made["done_reason"]) == (True, reason)
            assert it.upstream.stats.started == 0

    run(main())


def test_models() -> None:
    async def main() -> None:
        async with office(assistants=(Choice("guide", "model"),)) as it:
            for path in ("/api/tags", "/api/ps"):
                listed = (await it.home.call("GET", path))["models"]
                assert [each["name"] for each in listed] == ["model", "fickle", "guide"]
                assert len({each["digest"] for each in listed}) == 3, "each its own"
            for body in ({"model": "guide"}, {"name": "guide"}, {"model": "guide:latest", "verbose": True}):
                assert "completion" in (await it.home.call("POST", "/api/show", body))["capabilities"]
            assert (await it.home.call("GET", "/api/version"))["version"].count(".") == 2

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_model(stream: bool) -> None:
    async def main() -> None:
        async with office() as it:
            body = saying("say 500 delay=0.02", stream=stream)
            asking = it.home.http.post(it.home.served[0].url + CHAT, json=body)
            if stream:
                answer = await asking
                await answer.content.readline()
                answer.close()
            else:
                waiting = asyncio.ensure_future(asking)
                await it.upstream.until(lambda stats: stats.active == 1)
                waiting.cancel()
            await it.upstream.until(lambda stats: stats.disconnected == 1)

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_at_once_is_a_status(stream: bool) -> None:
    async def main() -> None:
        async with office() as it:
            failed = await it.home.call("POST", CHAT, saying("say 3 status=400", stream=stream), expect=502)
            assert failed == {"error": "the upstream refused the request (400)"}

    run(main())


def test_a_model_that_fails_later_is_the_last_line() -> None:
    async def main() -> None:
        async with office() as it:
            *parts, last = await lines(it, CHAT, saying("say 9 error=2"))
            assert "".join(part["message"]["content"] for part in parts) == "t:0000 t:0001 "
            assert list(last) == ["error"]

    run(main())


def test_an_answer_that_was_withdrawn_is_an_error() -> None:
    """A worker is lost, and its successor's model says something else."""

    async def main() -> None:
        async with office(workers=2) as it:
            body = saying("say 40 vary delay=0.05") | {"model": "fickle"}
            async with it.home.http.post(it.home.served[0].url + CHAT, json=body) as answer:
                first = json.loads(await answer.content.readline())
                assert first["message"]["content"].startswith("t.r1")
                for name in ("worker-0", "worker-1"):
                    await it.kill(name)
                it.work("worker-2")
                rest = [json.loads(line) async for line in answer.content]
            assert rest[-1] == {"error": "The answer broke off, and nothing of it is kept: ask again."}
            assert all("t.r2" not in part["message"]["content"] for part in rest[:-1])

    run(main())


def test_a_takeover_is_not_seen() -> None:
    async def main() -> None:
        async with office() as it:
            async with it.home.http.post(it.home.served[0].url + CHAT, json=saying("say 40 delay=0.02")) as answer:
                parts = [json.loads(await answer.content.readline())]
                await it.kill("worker-0")
                it.work("worker-1")
                parts += [json.loads(line) async for line in answer.content]
            text = "".join(part["message"]["content"] for part in parts)
            assert text == "".join(f"t:{at:04d} " for at in range(40))
            assert parts[-1]["done"] is True

    run(main())


def test_silence_is_broken_by_empty_parts() -> None:
    async def main() -> None:
        async with office(quiet_seconds=1) as it:
            *parts, last = await lines(it, CHAT, saying("say 1 first=2.5"))
            assert parts[0]["message"] == {"role": "assistant", "content": ""}
            assert "".join(part["message"]["content"] for part in parts) == "t:0000 "
            assert last["done"] is True

    run(main())


def test_sessions_speak_as_users() -> None:
    async def main() -> None:
        async with office(access_key="open sesame") as it:
            owner = {"Authorization": "Bearer open sesame"}
            opened = await it.home.call("POST", "/api/sessions", {"name": "Ann"}, expect=201, headers=owner)
            session = {"Authorization": f"Bearer {opened['token']}"}
            refused = await it.home.call("POST", CHAT, saying("hello"), expect=401)
            assert refused == {"error": "A valid access key or session token is needed."}
            for headers, remembers in ((owner, True), (session, False)):
                body = {"model": "model", "prompt": "hello", "system": "Be brief.", "stream": False}
                made = await it.home.call("POST", GENERATE, body, headers=headers)
                assert made["response"] == "You said: hello (2 messages)"
                assert ("context" in made) is remembers
            said = saying("hello")
            said["messages"].insert(0, {"role": "assistant", "content": "hi"})
            refused = await it.home.call("POST", CHAT, said, expect=403, headers=session)
            assert refused == {"error": "messages[0].content: A session speaks as user only."}

    run(main())


# Bad input; the table: tests/badinput.


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(models=(Choice("model"),), default="model", origins=("https://app.example",)) as made:
        yield made


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods(server: Shared, method: str) -> None:
    for path in (CHAT, GENERATE, "/api/show"):
        answer = server.request(method, path)
        assert (answer.status, answer.json) == (405, {"error": f"{path} does not take {method}."})


def test_delete_of_a_model(server: Shared) -> None:
    answer = server.request("DELETE", "/api/delete", b'{"model":"model"}')
    assert answer.status == 400
    assert "not managed here" in answer.json["error"]


def test_other_origins_may_read_errors_and_strangers_may_not_ask(server: Shared) -> None:
    ours = server.request("POST", CHAT, b"{}", {"Origin": "https://app.example"})
    assert (ours.status, ours.headers["access-control-allow-origin"]) == (400, "https://app.example")
    assert server.request("POST", CHAT, b"{}", {"Origin": "https://evil.example"}).status == 403


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_need_not_say_that_it_is_json(server: Shared, kind: str | None) -> None:
    """As ``curl -d`` does not."""
    answer = server.request("POST", "/api/show", b'{"model":"model"}', {"Content-Type": kind} if kind else {})
    assert answer.status == 200
