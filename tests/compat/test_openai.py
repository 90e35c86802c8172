"""The official client of OpenAI: its own helpers, a killed worker under its WebSocket, and the real built-in model.

What else there is to it is tested with it all over tests/server/openai and tests/system/test_openai.py.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.compat.place import MODEL, Place, place, play, tokens
from tests.system.deployment import PARLEY, deployment, environment, workplace
from tests.wire.openai.shapes import check_event, check_response


class Weather(BaseModel):
    """The weather somewhere."""

    city: str
    degrees: int


def test_its_helper_follows_a_stored_response(parley: Place) -> None:
    """`responses.stream(response_id=…, starting_after=…)`: the whole is replayed, and the rest is told."""
    with openai.OpenAI(base_url=parley.url, api_key="any", max_retries=0) as client:
        with client.responses.stream(model=MODEL, input="say 6 tag=helper") as stream:
            events: Any = list(stream)
        final = events[-1].response
        assert final.output_text == tokens("helper", 6)
        with client.responses.stream(response_id=final.id, starting_after=5) as again:
            rest: Any = list(again)
            assert again.get_final_response().output_text == tokens("helper", 6)
        assert [event.sequence_number for event in rest] == list(range(6, len(events)))
        assert parley.asked("helper") == 1


def test_its_parsers(parley: Place) -> None:
    with openai.OpenAI(base_url=parley.url, api_key="any", max_retries=0) as client:
        parsed = client.responses.parse(model=MODEL, input="weather-in-rome", text_format=Weather)
        assert parsed.output_parsed == Weather(city="Rome", degrees=21)
        asked: Any = [{"role": "user", "content": "weather-in-rome"}]
        completed = client.chat.completions.parse(model=MODEL, messages=asked, response_format=Weather)
        assert completed.choices[0].message.parsed == Weather(city="Rome", degrees=21)


def test_a_killed_worker_under_its_socket() -> None:
    """The socket goes on with the same numbers, and a replay is the same."""
    with place() as own:

        async def story(client: openai.AsyncOpenAI) -> None:
            untyped: Any = client
            events: list[Any] = []
            async with untyped.responses.connect() as connection:
                await connection.response.create(model=MODEL, input="say 80 tag=killed delay=0.02")
                async for event in connection:
                    events.append(event)
                    if len(events) == 20:
                        for pid in own.up.parts("work"):
                            os.kill(pid, signal.SIGKILL)
                    if event.type == "response.completed":
                        break
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert events[-1].response.output_text == tokens("killed", 80)
            replayed = [each async for each in await untyped.responses.retrieve(events[-1].response.id, stream=True)]
            assert [each.to_dict() for each in replayed] == [each.to_dict() for each in events]
            for each in replayed:
                check_event(each.to_dict())
            assert own.turns(own.conversation(events[-1].response.id)) == [("completed", tokens("killed", 80))]

        play(own, story)


@pytest.fixture(scope="module")
def real() -> Iterator[Place]:
    """`parley up` as it is without any setting: with the built-in model, which `parley model get` has fetched."""
    got = subprocess.run([*PARLEY, "model", "get"], env=environment(), capture_output=True, text=True, check=True)
    weights = Path(got.stdout.strip())
    with workplace() as directory:
        kept = directory / "data" / "models"
        kept.mkdir(parents=True)
        (kept / weights.name).symlink_to(weights)
        with deployment(directory) as up:
            yield Place(up, "")


def test_a_completion_of_the_real_model(real: Place) -> None:
    with openai.OpenAI(base_url=real.url, api_key="any", max_retries=0) as client:
        model = next(iter(client.models.list())).id
        asked: Any = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
        whole = client.chat.completions.create(model=model, messages=asked, temperature=0, max_tokens=16)
        assert "Paris" in (whole.choices[0].message.content or "")
        assert whole.usage is not None
        assert whole.usage.completion_tokens > 0
        chunks = list(
            client.chat.completions.create(model=model, messages=asked, temperature=0, max_tokens=16, stream=True)
        )
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert said == whole.choices[0].message.content


def test_a_conversation_with_the_real_model_is_resumed(real: Place) -> None:
    with openai.OpenAI(base_url=real.url, api_key="any", max_retries=5) as client:
        untyped: Any = client
        conversation = client.conversations.create().id
        options: dict[str, Any] = {"conversation": conversation, "temperature": 0, "max_output_tokens": 80}
        stream = untyped.responses.create(input="Count from one to twenty, in words.", stream=True, **options)
        events: list[Any] = []
        for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta" and len(events) >= 8:
                break
        stream.close()
        for pid in real.up.parts("work"):
            os.kill(pid, signal.SIGKILL)
        response = events[0].response.id
        events += untyped.responses.retrieve(response, stream=True, starting_after=events[-1].sequence_number)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        for event in events:
            check_event(event.to_dict())
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        final = untyped.responses.retrieve(response)
        check_response(final.to_dict())
        assert text == final.output_text != ""
        assert [each.to_dict() for each in untyped.responses.retrieve(response, stream=True)] == [
            event.to_dict() for event in events
        ]
        second = untyped.responses.create(input="What did I ask you to count to? One word.", **options)
        assert real.items(conversation) == [
            ("user", "Count from one to twenty, in words."),
            ("assistant", text),
            ("user", "What did I ask you to count to? One word."),
            ("assistant", second.output_text),
        ]
