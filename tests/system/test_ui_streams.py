"""A UI message stream and a run of AG-UI on ``parley up`` whose processes are killed in the middle of them."""

import contextlib
import http.client
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.deployment import Deployment, configuration, deployment, upstream, workplace

SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"
"""
TOKENS = 120
HEAD = 20
TEXT = "".join(f"t:{at:04d} " for at in range(TOKENS))
ASK = f"say {TOKENS} delay=0.02"


def events(up: Deployment, method: str, path: str, body: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """The events of a stream, up to its end or its breaking off."""
    link = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)
    with contextlib.closing(link):
        link.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = link.getresponse()
        assert answer.status in (200, 204), answer.read()
        with contextlib.suppress(OSError, http.client.HTTPException):
            while line := answer.readline():
                if line.startswith(b"data: {"):
                    yield json.loads(line.removeprefix(b"data: "))


def begin(up: Deployment, path: str, body: dict[str, Any], victims: tuple[str, ...]) -> str:
    """Read the head of a stream, kill, read on to where it breaks off. Replies the text that was read."""
    text, deltas = "", 0
    for event in events(up, "POST", path, body):
        text += event.get("delta", "")
        deltas += "delta" in event
        if deltas == HEAD and "delta" in event:
            for part in victims:
                for pid in up.parts(part):
                    os.kill(pid, signal.SIGKILL)
    return text


@pytest.mark.parametrize("victims", [("work",), ("serve",), ("work", "serve"), ("redis-server",)])
def test_what_was_begun_is_had_whole(victims: tuple[str, ...]) -> None:
    with workplace() as directory, upstream(directory) as url:
        path = configuration(directory, SETTINGS.format(url=url))
        with deployment(directory, "--config", path) as up:
            message = {"id": "u", "role": "user", "parts": [{"type": "text", "text": ASK}]}
            chat = {"id": "chat", "messages": [message], "trigger": "submit-message"}
            begun = begin(up, "/ai/chat", chat, victims)
            assert TEXT.startswith(begun)
            up.await_ready()
            if victims == ("work",):
                assert begun == TEXT  # nothing was seen of it
            else:
                # As a page does that is loaded anew, then as one that sends its message again.
                found = whole(up, "chat")
                again = "".join(event.get("delta", "") for event in events(up, "POST", "/ai/chat", chat))
                assert found == again == TEXT
            run = {"threadId": "t", "runId": "r", "messages": [{"id": "u", "role": "user", "content": ASK}]}
            assert TEXT.startswith(begin(up, "/agui", run, victims))
            up.await_ready()
            told = list(events(up, "POST", "/agui", run))
            assert "".join(event.get("delta", "") for event in told) == TEXT
            assert told[-1]["outcome"] == {"type": "success"}


def whole(up: Deployment, chat: str) -> str:
    """The answer of a chat: what is being written, else what is loaded."""
    if text := "".join(event.get("delta", "") for event in events(up, "GET", f"/ai/chat/{chat}/stream")):
        return text
    with urllib.request.urlopen(f"{up.url}/ai/chat/{chat}/messages", timeout=30) as answer:
        messages = json.load(answer)
        loaded: str = messages[-1]["parts"][-1]["text"]
        return loaded
