"""The scripted upstream itself: what it says, counts and notices."""

import asyncio
import json
import signal
import sys
from typing import Any

import aiohttp
import pytest

from parley.testing.script import Script
from parley.testing.upstream import Prefill, ScriptedUpstream, default_reply


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


async def post(
    upstream: ScriptedUpstream, *messages: dict[str, Any], path: str = "/v1/chat/completions", **body: Any
) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(upstream.root + path, json={"messages": list(messages), **body}) as reply,
    ):
        text = await reply.text()
        return reply.status, json.loads(text) if reply.content_type == "application/json" else text


def content(reply: Any) -> str:
    return str(reply["choices"][0]["message"]["content"])


def test_a_request_without_streaming_gets_one_document() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            status, reply = await post(upstream, user("say 3 tag=a"))
            assert (status, content(reply)) == (200, Script(3, "a").text())
            assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}

    asyncio.run(main())


def test_any_other_message_is_quoted_with_the_number_of_messages() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            reply = await post(upstream, user("Hi"), assistant("Hello"), user("What?"))
            assert content(reply[1]) == "You said: What? (3 messages)"

    asyncio.run(main())


def test_the_default_reply_can_be_continued_from_anywhere() -> None:
    whole = "".join(default_reply("a  b", 2, "") or [])
    for at in range(1, len(whole) + 1):
        rest = default_reply("a  b", 2, whole[:at])
        assert rest is not None
        assert whole[:at] + "".join(rest) == whole
    assert default_reply("a", 1, "You say") is None


def test_a_partial_answer_does_not_count_as_a_message_and_must_fit() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            reply = await post(upstream, user("Hi"), assistant("You said: H"))
            assert content(reply[1]) == "i (1 messages)"
            assert (await post(upstream, user("Hi"), assistant("You said: Ho")))[0] == 400
            assert upstream.stats.foreign_partials == 1

    asyncio.run(main())


def test_a_stream_ends_with_reason_usage_and_mark() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            options = {"include_usage": True}
            _, text = await post(upstream, user("say 1"), stream=True, stream_options=options)
            events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
            assert events[-1] == "[DONE]"
            chunks = [json.loads(event) for event in events[:-1]]
            assert [len(chunk["choices"]) for chunk in chunks] == [1, 1, 1, 0]
            assert chunks[2]["choices"][0]["finish_reason"] == "stop"
            assert chunks[3]["usage"]["completion_tokens"] == 1

    asyncio.run(main())


def test_varied_answers_tell_requests_apart() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            said = [content((await post(upstream, user("say 1 vary")))[1]) for _ in range(3)]
            assert said == ["t.r1:0000 ", "t.r2:0000 ", "t.r3:0000 "]

    asyncio.run(main())


def test_a_fault_happens_so_many_times() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            script = "say 1 status=503 estimated_time=4 times=2"
            replies = [await post(upstream, user(script)) for _ in range(3)]
            assert [status for status, _ in replies] == [503, 503, 200]
            assert replies[0][1]["estimated_time"] == 4
            assert upstream.stats.failed == 2
            assert upstream.stats.finished == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("prefill", "last", "body", "expected"),
    [
        ("llama", assistant("t:0000"), {}, " t:0001 "),
        ("vllm", assistant("t:0000 "), {"continue_final_message": True, "add_generation_prompt": False}, "t:0001 "),
        ("vllm", assistant("t:0000 "), {}, "t:0000 t:0001 "),
        ("vllm", assistant("t:0000 "), {"continue_final_message": True}, "t:0000 t:0001 "),
        ("prefix", assistant("t:0000 ", prefix=True), {}, "t:0001 "),
        ("prefix", assistant("t:0000 "), {}, 400),
        ("ignore", assistant("t:0000 "), {}, "t:0000 t:0001 "),
        ("refuse", assistant("t:0000 "), {}, 400),
        ("llama", assistant("another text"), {}, 400),
    ],
)
def test_each_dialect_of_continuing(
    prefill: Prefill, last: dict[str, Any], body: dict[str, Any], expected: object
) -> None:
    async def main() -> None:
        async with ScriptedUpstream(prefill=prefill) as upstream:
            status, reply = await post(upstream, user("say 2"), last, **body)
            assert (status if status != 200 else content(reply)) == expected
            assert upstream.stats.foreign_partials == (last["content"] == "another text")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": []}, 400),
        ({"messages": "x"}, 400),
        ({"messages": [5]}, 400),
        ({"messages": [user("say 1 nonsense")], "model": "scripted"}, 400),
        ({"messages": [user("Hi")], "model": "other"}, 404),
        ([], 400),
    ],
)
def test_bad_requests_are_refused_clearly(body: Any, status: int) -> None:
    async def main() -> None:
        async with ScriptedUpstream(models=("scripted",)) as upstream, aiohttp.ClientSession() as client:
            async with client.post(upstream.url + "/chat/completions", json=body) as reply:
                assert reply.status == status
                assert (await reply.json())["error"]["message"]
            assert upstream.stats.refused == 1

    asyncio.run(main())


def test_the_key_is_checked() -> None:
    async def main() -> None:
        async with ScriptedUpstream(api_key="k") as upstream, aiohttp.ClientSession() as client:
            for key, expected in (("", 401), ("Bearer x", 401), ("Bearer k", 200)):
                body = {"messages": [user("Hi")]}
                headers = {"Authorization": key}
                async with client.post(upstream.url + "/chat/completions", json=body, headers=headers) as reply:
                    assert reply.status == expected

    asyncio.run(main())


def test_counters_are_readable_over_http() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream, aiohttp.ClientSession() as client:
            await post(upstream, user("say 2 tag=x"))
            async with client.get(upstream.root + "/stats") as reply:
                shown = await reply.json()
            assert shown["stats"]["by_tag"] == {"x": 1}
            assert shown["stats"]["tokens"] == 2
            assert shown["last"][0]["body"]["messages"] == [user("say 2 tag=x")]
            async with client.get(upstream.url + "/models") as reply:
                assert (await reply.json())["data"][0]["id"] == "scripted"

    asyncio.run(main())


def test_a_reader_that_leaves_is_noticed_also_in_silence() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream, aiohttp.ClientSession() as client:
            for script in ("say 9 hang=1", "say 9 first=60", "say 1000000"):
                gone = upstream.stats.disconnected
                body = {"messages": [user(script)], "stream": True}
                async with client.post(upstream.url + "/chat/completions", json=body) as reply:
                    await reply.content.readany()
                    reply.close()
                await upstream.until(lambda stats, gone=gone: stats.disconnected == gone + 1, 1)  # type: ignore[misc]
            assert upstream.stats.active == 0

    asyncio.run(main())


def test_the_pace_is_kept_over_many_tokens() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            clock = asyncio.get_running_loop().time
            began = clock()
            await post(upstream, user("say 100 delay=0.005"), stream=True)
            assert 0.5 <= clock() - began < 1.0

    asyncio.run(main())


def test_as_a_process_of_its_own() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "parley.testing.upstream",
            "--api-key",
            "k",
            "--model",
            "m",
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        word, url = (await asyncio.wait_for(process.stdout.readline(), 10)).decode().split()
        assert word == "ready"
        async with aiohttp.ClientSession() as client, client.get(url + "/models") as reply:
            assert (await reply.json())["data"][0]["id"] == "m"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0

    asyncio.run(main())


def test_given_answers_to_given_words() -> None:
    async def main() -> None:
        async with ScriptedUpstream(answers={"Italy": "It is Rome.", "France": "Paris"}) as upstream:
            for said, answer in (("capital of ITALY?", "It is Rome."), ("France", "Paris")):
                _, body = await post(upstream, user(said))
                assert body["choices"][0]["message"]["content"] == answer
            _, body = await post(upstream, user("France"), assistant("Par"), continue_final_message=True)
            assert body["choices"][0]["message"]["content"] == "is"
            upstream.answer("weather", "say 2 tag=sunny")
            parts = [{"type": "text", "text": "The weather?"}, {"type": "image_url"}]
            for message in (user("How is the weather?"), {"role": "user", "content": parts}):
                _, body = await post(upstream, message)
                assert body["choices"][0]["message"]["content"] == "sunny:0000 sunny:0001 "
            _, body = await post(upstream, user("Spain"))
            assert body["choices"][0]["message"]["content"] == "You said: Spain (1 messages)"

    asyncio.run(main())
