"""Chat completions and models, with the official client against a running deployment."""

import asyncio
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from parley.server.config import Choice
from tests.server.openai.harness import exhaust, office
from tests.store.harness import run
from tests.wire.openai.shapes import strict

HELLO: Any = [{"role": "user", "content": "hello"}]


def saying(script: str) -> Any:
    return [{"role": "user", "content": script}]


def test_a_completion() -> None:
    async def main() -> None:
        async with office() as it:
            said: Any = [
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                *HELLO,
                {"role": "assistant", "content": "hi"},
                {"role": "user", "content": [{"type": "text", "text": "how"}, {"type": "text", "text": "are you?"}]},
            ]
            made = await it.client.chat.completions.create(model="model", messages=said)
            strict(ChatCompletion, made.to_dict())
            assert made.choices[0].message.content == "You said: how\nare you? (4 messages)"
            assert made.choices[0].finish_reason == "stop"
            assert (made.usage.prompt_tokens, made.usage.total_tokens) == (7, 13)
            assert [each["role"] for each in it.upstream.seen[-1].body["messages"]] == [
                *("system", "user", "assistant", "user")
            ]
            cut = await it.client.chat.completions.create(model="model", messages=saying("say 3 finish=length"))
            assert cut.choices[0].finish_reason == "length"
            # Nothing is kept.
            found = await it.home.call("GET", "/api/conversations")
            assert found["data"] == []

    run(main())


@pytest.mark.parametrize("usage", [None, False, True])
def test_a_stream(usage: bool | None) -> None:
    async def main() -> None:
        async with office() as it:
            options: dict[str, Any] = {} if usage is None else {"stream_options": {"include_usage": usage}}
            stream = await it.client.chat.completions.create(
                model="model", messages=saying("say 5 reasoning=2 delay=0.02"), stream=True, **options
            )
            chunks = [chunk async for chunk in stream]
            for chunk in chunks:
                strict(ChatCompletionChunk, chunk.to_dict())
            assert len({chunk.id for chunk in chunks}) == 1
            assert chunks[0].choices[0].delta.role == "assistant"
            if usage:
                last = chunks.pop()
                assert (last.choices, last.usage.completion_tokens) == ([], 5)
                assert all(chunk.usage is None and "usage" in chunk.to_dict() for chunk in chunks)
            assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
            deltas = [chunk.choices[0].delta for chunk in chunks]
            assert "".join(delta.content or "" for delta in deltas) == "".join(f"t:{at:04d} " for at in range(5))
            thoughts = "".join(delta.to_dict().get("reasoning_content", "") for delta in deltas)
            assert thoughts == "think:0000 think:0001 "

    run(main())


def test_the_wire_ends_with_done() -> None:
    async def main() -> None:
        async with office(quiet_seconds=1) as it:
            body = {"model": "model", "messages": saying("say 2 first=2.5"), "stream": True}
            url = it.home.served[0].url + "/v1/chat/completions"
            async with it.home.http.post(url, json=body) as answer:
                data = await answer.read()
            assert data.endswith(b"\n\ndata: [DONE]\n\n")
            assert b": hb\n" in data
            assert b": hb\n\n" not in data
            assert b"event:" not in data

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_model(stream: bool) -> None:
    async def main() -> None:
        async with office() as it:
            said = saying("say 500 delay=0.02")
            if stream:
                chunks = await it.client.chat.completions.create(model="model", messages=said, stream=True)
                await anext(aiter(chunks))
                await chunks.close()
            else:
                waiting = asyncio.create_task(it.client.chat.completions.create(model="model", messages=said))
                await it.upstream.until(lambda stats: stats.active == 1)
                waiting.cancel()
            await it.upstream.until(lambda stats: stats.disconnected == 1)

    run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "kind"),
    [("say 3 status=400", openai.InternalServerError), ("say 3 html", openai.InternalServerError)],
)
def test_a_model_that_fails_at_once_is_told_by_the_status(stream: bool, script: str, kind: type[Exception]) -> None:
    async def main() -> None:
        async with office() as it:
            with pytest.raises(kind):
                await it.client.chat.completions.create(model="model", messages=saying(script), stream=stream)

    run(main())


def test_a_model_that_fails_later_never_ends_well() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.chat.completions.create(
                model="fickle", messages=saying("say 9 delay=0.03 error=5"), stream=True
            )
            chunks: list[Any] = []

            reading = aiter(stream)
            with pytest.raises(openai.APIError):
                await exhaust(reading, chunks)
            assert chunks
            assert all(chunk.choices[0].finish_reason is None for chunk in chunks)

    run(main())


def test_state_is_an_extension() -> None:
    async def main() -> None:
        async with office() as it:
            conversation = (await it.client.conversations.create()).id
            ask = it.client.chat.completions.create
            first = await ask(model="model", messages=saying("one"), extra_body={"conversation": conversation})
            assert first.to_dict()["conversation"] == conversation
            behind = {"previous_response_id": first.to_dict()["response_id"]}
            second = await ask(model="model", messages=saying("two"), extra_body=behind)
            assert second.choices[0].message.content == "You said: two (3 messages)"
            items = [item async for item in it.client.conversations.items.list(conversation)]
            assert len(items) == 4
            with pytest.raises(openai.APIStatusError) as caught:
                await ask(model="model", messages=saying("say 1 status=400"), extra_body=behind)
            # It was accepted: sending it again would be another turn.
            assert caught.value.response.headers["x-should-retry"] == "false"

    run(main())


def test_models() -> None:
    async def main() -> None:
        models = (Choice("model"), Choice("org/model:8b"))
        async with office(workers=0, models=models, assistants=(Choice("tutor", "model"),)) as it:
            found = [model async for model in it.client.models.list()]
            assert [model.id for model in found] == ["model", "org/model:8b", "tutor"]
            assert {model.owned_by for model in found} == {"parley"}
            assert (await it.client.models.retrieve("org/model:8b")).id == "org/model:8b"
            with pytest.raises(openai.NotFoundError) as caught:
                await it.client.models.retrieve("other")
            assert caught.value.code == "model_not_found"

    run(main())
