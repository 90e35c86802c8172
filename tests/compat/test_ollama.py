"""Ollama's official client (`ollama`) and the plugin `llm-ollama` of `llm`, unmodified."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest

from tests.compat.place import MODEL, Place, tokens


@pytest.fixture
def client(parley: Place) -> Iterator[ollama.Client]:
    with ollama.Client(parley.up.url) as made:
        yield made


def saying(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_a_chat(parley: Place, client: ollama.Client) -> None:
    options = {"temperature": 0.5, "num_predict": 50, "num_ctx": 4096}
    made = client.chat(MODEL, saying("say 4 reasoning=1 tag=ochat"), options=options, keep_alive="5m")
    assert made.message.content == tokens("ochat", 4)
    assert made.message.thinking == "think:0000 "
    assert (made.done, made.done_reason, made.eval_count) == (True, "stop", 4)
    assert (parley.shown()["temperature"], parley.shown()["max_tokens"]) == (0.5, 50)


def test_a_stream(client: ollama.Client) -> None:
    parts = list(client.chat(MODEL, saying("say 10 delay=0.02 tag=ostream"), stream=True))
    assert len(parts) > 2, "as it comes"
    assert "".join(part.message.content or "" for part in parts) == tokens("ostream", 10)
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].total_duration


def test_an_asynchronous_stream(parley: Place) -> None:
    async def main() -> str:
        async with ollama.AsyncClient(parley.up.url) as client:
            asking = await client.chat(MODEL, saying("say 4 tag=oasync"), stream=True)
            return "".join([part.message.content or "" async for part in asking])

    assert asyncio.run(main()) == tokens("oasync", 4)


def look(number: int) -> str:
    """Look at something.

    Args:
        number: which one.
    """
    return f"seen {number}"


def test_functions_are_called(parley: Place, client: ollama.Client) -> None:
    messages: list[Any] = saying("say 1 calls=2 tag=look")
    made = client.chat(MODEL, messages, tools=[look])
    calls = made.message.tool_calls or []
    assert [call.function.arguments for call in calls] == [{"number": 0}, {"number": 1}]
    messages.append(made.message)
    for call in calls:
        name, arguments = call.function.name, call.function.arguments
        messages.append({"role": "tool", "tool_name": name, "content": look(**arguments)})
    after = client.chat(MODEL, messages, tools=[look])
    assert after.message.content == tokens("look", 1)
    shown = parley.shown()["messages"]
    assert [(each["role"], each["content"]) for each in shown[2:]] == [("tool", "seen 0"), ("tool", "seen 1")]
    assert [call["id"] for call in shown[1]["tool_calls"]] == [each["tool_call_id"] for each in shown[2:]]


def test_generate_goes_on_with_its_context(parley: Place, client: ollama.Client) -> None:
    first = client.generate(MODEL, "hello", system="Be brief.")
    after = client.generate(MODEL, "again", context=first.context)
    assert [each["content"] for each in parley.shown()["messages"]] == ["hello", first.response, "again"]
    parts = list(client.generate(MODEL, "say 3 tag=ogenerate", context=after.context, stream=True))
    assert "".join(part.response or "" for part in parts) == tokens("ogenerate", 3)
    assert len(parts[-1].context or []) > len(after.context or [])


def test_a_schema(parley: Place, client: ollama.Client) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    made = client.chat(MODEL, saying("weather-in-rome"), format=schema)
    assert made.message.content == '{"city":"Rome","degrees":21}'
    assert parley.shown()["response_format"]["json_schema"]["schema"] == schema


def test_models(client: ollama.Client) -> None:
    (model,) = client.list().models
    assert (model.model, len(model.digest or "")) == (MODEL, 64)
    assert "completion" in (client.show(MODEL).capabilities or [])
    assert [each.model for each in client.ps().models] == [MODEL]


def test_errors(client: ollama.Client) -> None:
    def refusal(asked: Any) -> tuple[int, str]:
        with pytest.raises(ollama.ResponseError) as caught:
            asked()
        return caught.value.status_code, caught.value.error

    assert refusal(lambda: client.chat("other", saying("x"))) == (404, "model 'other' not found")
    assert refusal(lambda: client.pull("other"))[0] == 400
    assert refusal(lambda: client.embed(MODEL, "x")) == (400, "There are no embeddings here.")
    assert refusal(lambda: client.chat(MODEL, saying("say 3 status=400")))[0] == 502
    late = client.chat(MODEL, saying("say 9 delay=0.02 error=3 tag=olate"), stream=True)
    assert refusal(lambda: list(late))[1] == "the upstream reported an error in its answer"


def test_whoever_leaves_stops_the_model(parley: Place, client: ollama.Client) -> None:
    stream: Any = client.chat(MODEL, saying("say 900 delay=0.02 tag=oleft"), stream=True)
    next(stream)
    before = parley.stats()["disconnected"]
    stream.close()
    deadline = time.monotonic() + 10
    while parley.stats()["disconnected"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_llm(parley: Place, tmp_path: Path) -> None:
    """`llm` finds the model by its digest and capabilities, and talks with it."""
    environment = os.environ | {"OLLAMA_HOST": parley.up.url, "LLM_USER_PATH": str(tmp_path)}
    llm = str(Path(sys.executable).parent / "llm")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [llm, *arguments], env=environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    assert f"Ollama: ollama/{MODEL}" in run("models", "list")
    assert run("-m", f"ollama/{MODEL}", "say 4 tag=ollm").strip() == tokens("ollm", 4).strip()
    assert "(3 messages)" in run("-c", "hello")
