"""The official OpenAI client on ``parley up`` whose processes are killed in the middle of its stream."""

import os
import signal
from typing import Any

import openai
import pytest

from tests.system.deployment import configuration, deployment, upstream, workplace

SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"
"""
TOKENS = 120
HEAD = 20


@pytest.mark.parametrize("victims", [("work",), ("work", "serve"), ("redis-server",)])
def test_the_sdks_own_resume_gets_exactly_the_rest(victims: tuple[str, ...]) -> None:
    with workplace() as directory, upstream(directory) as url:
        path = configuration(directory, SETTINGS.format(url=url))
        with deployment(directory, "--config", path) as up, connect(up.url) as client:
            asked = f"say {TOKENS} delay=0.02"
            stream: Any = client.responses.create(model="scripted", input=asked, stream=True)
            events: list[Any] = []
            for event in stream:
                events.append(event)
                if len(events) == HEAD:
                    break
            for part in victims:
                for pid in up.parts(part):
                    os.kill(pid, signal.SIGKILL)
            stream.close()
            up.await_ready()
            response, last = events[0].response.id, events[-1].sequence_number
            rest: Any = client.responses.retrieve(response, stream=True, starting_after=last)
            events += list(rest)
            assert [event.sequence_number for event in events] == list(range(len(events)))
            text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
            assert text == "".join(f"t:{at:04d} " for at in range(TOKENS))
            assert events[-1].response.status == "completed"
            whole: Any = client.responses.retrieve(response, stream=True)
            assert list(whole) == events


def connect(url: str) -> openai.OpenAI:
    """A client as its users make it: it tries again by itself."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=5, timeout=30)
