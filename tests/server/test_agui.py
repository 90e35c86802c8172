"""/agui: runs of AG-UI on the log."""

import asyncio
import json
from typing import Any

from parley.models.secret import Secret
from tests.server.harness import until
from tests.server.openai.harness import Office, office
from tests.server.openai.test_images import IMAGE
from tests.store.harness import run

KEY = "k" * 32


def user(text: Any, name: str = "u1") -> dict[str, Any]:
    """A message of the user."""
    return {"id": name, "role": "user", "content": text}


def given(*messages: dict[str, Any], run_id: str = "r1", thread: str = "thread", **more: Any) -> dict[str, Any]:
    """The input of a run."""
    empty: dict[str, Any] = {"tools": [], "context": [], "state": {}, "forwardedProps": {}}
    return {"threadId": thread, "runId": run_id, "messages": list(messages), **empty, **more}


async def go(it: Office, body: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The events of a run."""
    url = it.home.served[0].url + "/agui"
    async with it.home.http.post(url, json=body, headers=headers) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, rest = text.replace(": hb\n", "").split("\n\n")
    assert rest == ""
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert events[0]["type"] == "RUN_STARTED"
    assert events[-1]["type"] in ("RUN_FINISHED", "RUN_ERROR")
    return events


def text_of(events: list[dict[str, Any]]) -> str:
    """The text among events."""
    return "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")


def asked(it: Office) -> list[dict[str, Any]]:
    """The messages the model was asked last."""
    found: list[dict[str, Any]] = it.upstream.seen[-1].body["messages"]
    return found


def said(tokens: int, tag: str = "t") -> str:
    """What the upstream says."""
    return "".join(f"{tag}:{at:04d} " for at in range(tokens))


def test_a_run_is_told_again_by_its_id() -> None:
    async def main() -> None:
        async with office() as it:
            body = given(user("say 20 delay=0.01"))
            one, two = await asyncio.gather(go(it, body), go(it, body))
            assert one == two == await go(it, body)
            assert text_of(one) == said(20)
            assert it.upstream.stats.started == 1
            other = await it.home.call("POST", "/agui", given(user("say 21")), expect=409)
            assert other["error"]["code"] == "idempotency_key_reused"

    run(main())


def test_a_lost_worker_is_not_seen() -> None:
    async def main() -> None:
        async with office() as it:
            reading = asyncio.create_task(go(it, given(user("say 100 delay=0.02"))))
            await until(lambda: it.upstream.stats.tokens > 20)
            await it.kill("worker-0")
            it.work("worker-b")
            events = await reading
            assert text_of(events) == said(100)
            kinds = [event["type"] for event in events if event["type"] != "TEXT_MESSAGE_CONTENT"]
            assert kinds == ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "RUN_FINISHED"]

    run(main())


def test_a_rewind_ends_the_run_with_an_error_and_the_run_can_be_had_whole() -> None:
    async def main() -> None:
        async with office() as it:
            body = given(user("say 60 delay=0.02 vary"), forwardedProps={"model": "fickle"})
            reading = asyncio.create_task(go(it, body))
            await until(lambda: it.upstream.stats.tokens > 20)
            await it.kill("worker-0")
            it.work("worker-b")
            assert (await reading)[-1]["code"] == "response_rewound"
            events = await go(it, body)
            assert text_of(events).startswith("t.r2:0000 ")
            assert len(text_of(events).split()) == 60

    run(main())


def test_a_failed_run_is_tried_again_under_another_id() -> None:
    async def main() -> None:
        async with office() as it:
            body = given(user("say 3 status=400 times=1"))
            failed = await go(it, body)
            assert failed[-1]["type"] == "RUN_ERROR"
            assert failed[-1]["code"].startswith("upstream_")
            assert await go(it, body) == failed
            assert text_of(await go(it, body | {"runId": "r2"})) == said(3)

    run(main())


def test_outputs_of_calls_go_on_even_behind_a_failure() -> None:
    async def main() -> None:
        async with office() as it:
            look = [{"name": "look", "description": "Looks.", "parameters": {"type": "object"}}]
            events = await go(it, given(user("say 1 calls=1 tag=look"), tools=look))
            [call] = events[-1]["outcome"]["pendingToolCallIds"]
            assert asked(it)[-1] == {"role": "user", "content": "say 1 calls=1 tag=look"}
            assert it.upstream.seen[-1].body["tools"][0]["function"]["name"] == "look"
            function = {"name": "look", "arguments": '{"number": 0}'}
            message = next(event["messageId"] for event in events if event["type"] == "TEXT_MESSAGE_START")
            calls = [{"id": call, "type": "function", "function": function}]
            answer = {"id": message, "role": "assistant", "content": "look:0000 ", "toolCalls": calls}
            thought = {"id": "t", "role": "reasoning", "content": "Hm."}
            output = {"id": "o1", "role": "tool", "toolCallId": call, "content": "blue"}
            path = (user("say 1 calls=1 tag=look"), thought, answer, output)
            wrong = given(*path[:3], output | {"toolCallId": "call_x"}, run_id="r2")
            refused = await it.home.call("POST", "/agui", wrong, expect=400)
            assert refused["error"]["code"] == "tool_call_not_found"
            after = await go(it, given(*path, run_id="r3"))
            assert text_of(after) == said(1, "look")
            assert [each["role"] for each in asked(it)] == ["user", "assistant", "tool"]
            # What was said in between is said once.
            last = await go(it, given(*path, user("hello", "u2"), run_id="r4"))
            assert text_of(last) == "You said: hello (5 messages)"

    run(main())


def test_a_client_brings_a_history_along() -> None:
    async def main() -> None:
        async with office() as it:
            system = {"id": "s", "role": "system", "content": "Be brief."}
            greeting = {"id": "g", "role": "assistant", "content": "Hello!"}
            activity = {"id": "a", "role": "activity", "activityType": "plan", "content": {}}
            first = await go(it, given(system, greeting, activity, user("one")))
            assert asked(it)[0] == {"role": "system", "content": "Be brief."}
            assert [each["role"] for each in asked(it)] == ["system", "assistant", "user"]
            answer = {"id": first[-1]["result"]["response"], "role": "assistant", "content": text_of(first)}
            await go(it, given(system, greeting, user("one"), answer, user("two", "u2"), run_id="r2"))
            assert [each["role"] for each in asked(it)] == ["system", "assistant", "user", "assistant", "user"]
            # It went back to its first message, and says something else.
            await go(it, given(system, greeting, user("one"), answer, user("three", "u3"), run_id="r3"))
            assert [each["content"] for each in asked(it)][-1] == "three"
            assert len(asked(it)) == 5

    run(main())


def test_a_thread_belongs_to_whom_it_is() -> None:
    async def main() -> None:
        async with office(access_key=Secret(KEY)) as it:
            owner = {"Authorization": f"Bearer {KEY}"}
            headers = []
            for name in ("ann", "bob"):
                made = await it.home.call("POST", "/api/sessions", {"name": name}, expect=201, headers=owner)
                headers.append({"Authorization": f"Bearer {made['token']}"})
            ann, bob = headers
            theirs = await go(it, given(user("a secret")), ann)
            assert text_of(await go(it, given(user("hello")), bob)) == "You said: hello (1 messages)"
            named = given(user("hello"), thread=theirs[-1]["result"]["conversation"])
            refused = await it.home.call("POST", "/agui", named, expect=404, headers=bob)
            assert refused["error"]["code"] == "conversation_not_found"
            assert (await it.home.call("POST", "/agui", named, expect=401))["error"]["code"] == "not_authenticated"
            system = given({"id": "s", "role": "system", "content": "obey"}, user("x"), thread="other")
            forbidden = await it.home.call("POST", "/agui", system, expect=403, headers=bob)
            assert forbidden["error"]["code"] == "role_not_allowed"

    run(main())


def test_an_image_is_shown() -> None:
    async def main() -> None:
        async with office() as it:
            source = {"type": "data", "mimeType": "image/png", "value": IMAGE.partition(",")[2]}
            parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
            await go(it, given(user(parts)))
            assert asked(it)[0]["content"][1]["image_url"]["url"] == IMAGE

    run(main())


def test_a_name_is_the_same_conversation_everywhere() -> None:
    async def main() -> None:
        async with office() as it:
            await go(it, given(user("say 3"), thread="shared"))
            loaded = await it.home.call("GET", "/ai/chat/shared/messages")
            assert (loaded[0]["id"], loaded[0]["parts"][-1]["text"]) == ("u1", "say 3")
            assert loaded[1]["parts"][-1]["text"] == said(3)
            headers = {"Idempotency-Key": "shared"}
            found = await it.home.call("POST", "/api/conversations", {}, expect=200, headers=headers)
            assert (found["turns"], found["title"]) == (1, "say 3")

    run(main())
