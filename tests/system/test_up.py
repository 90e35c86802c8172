"""One command starts everything; what was said is there after any restart; the parts say what they are."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.redis_servers import free_port
from tests.system.deployment import (
    PARLEY,
    Deployment,
    children,
    command_line,
    configuration,
    deployment,
    environment,
    until,
    upstream,
    workplace,
)


def call(up: Deployment, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
    """One JSON call."""
    data = None if body is None else json.dumps(body).encode()
    named = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{up.url}{path}", data, named, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def ask(up: Deployment, conversation: str, text: str, seconds: float = 60) -> dict[str, Any]:
    """Say something and wait for the turn's end."""
    receipt = call(up, "POST", f"/api/conversations/{conversation}/turns", {"input": text})
    turn: dict[str, Any] = {}

    def ended() -> bool:
        turn.update(call(up, "GET", f"/api/conversations/{conversation}/turns/{receipt['turn']}"))
        return turn["status"] not in ("queued", "in_progress")

    until(ended, seconds, "the reply")
    return turn


def texts(up: Deployment, conversation: str) -> list[str]:
    """Everything said in a conversation."""
    found = call(up, "GET", f"/api/conversations/{conversation}/turns")
    return [part for turn in found["data"] for part in (turn["request"]["input"][0]["content"], turn["text"])]


def test_everything_starts_with_one_command_and_survives_restarts() -> None:
    with workplace() as directory, upstream(directory) as url:
        began = time.monotonic()
        with deployment(directory, "--model-url", url, "--model", "scripted") as up:
            print(f"\nfrom the command to ready: {time.monotonic() - began:.2f} s (goal 1.5 s)")
            conversation = call(up, "POST", "/api/conversations", {})["id"]
            assert ask(up, conversation, "say 3 tag=a")["text"] == "a:0000 a:0001 a:0002 "
            assert "3 messages" in ask(up, conversation, "how many do you see?")["text"]
            before = texts(up, conversation)
            family = children(up.pid)
            parts = [command_line(pid) for pid in family]
            for part in ("parley serve", "parley work", "redis-server"):
                assert any(part in line for line in parts), (part, parts)
            assert up.kill(signal.SIGTERM) == 0
        assert not [pid for pid in family if command_line(pid)]
        with deployment(directory, "--model-url", url, "--model", "scripted") as up:
            assert texts(up, conversation) == before
            up.kill(signal.SIGKILL)
        with deployment(directory, "--model-url", url, "--model", "scripted") as up:
            assert texts(up, conversation) == before
            assert "5 messages" in ask(up, conversation, "and now?")["text"]


def test_children_die_with_a_killed_launcher() -> None:
    with (
        workplace() as directory,
        upstream(directory) as url,
        deployment(directory, "--model-url", url, "--model", "scripted") as up,
    ):
        family = children(up.pid)
        assert len(family) >= 3
        up.kill(signal.SIGKILL)
        until(lambda: not [pid for pid in family if command_line(pid)], 10, "the children to be gone")


def test_a_second_launcher_on_the_same_data_is_refused() -> None:
    with (
        workplace() as directory,
        upstream(directory) as url,
        deployment(directory, "--model-url", url, "--model", "scripted"),
    ):
        command = [*PARLEY, "up", "--port", str(free_port()), "--data", str(directory / "data"), "--model-url", url]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment(), check=False)
        assert second.returncode == 1
        assert "in use" in second.stderr
        assert "Traceback" not in second.stderr


def test_two_servers_and_two_workers_behave_as_one() -> None:
    with workplace() as directory, upstream(directory) as url:
        settings = configuration(
            directory, f'[[models]]\nname = "scripted"\nurl = "{url}"\nmodel = "scripted"\nbackend = "llama.cpp"\n'
        )
        with deployment(directory, "--config", settings, "--serves", "2", "--workers", "2") as up:
            conversations = [call(up, "POST", "/api/conversations", {})["id"] for _ in range(6)]
            receipts = []
            for number, conversation in enumerate(conversations):
                for turn in range(3):
                    body = {"input": f"say 5 tag=c{number}t{turn}"}
                    path = f"/api/conversations/{conversation}/turns"
                    receipts.append(call(up, "POST", path, body, Idempotency_Key=f"k{turn}"))
            for number, conversation in enumerate(conversations):
                until(lambda name=conversation: call(up, "GET", f"/api/conversations/{name}")["waiting"] == [])  # type: ignore[misc]
                said = texts(up, conversation)[1::2]
                expected = ["".join(f"c{number}t{turn}:{at:04d} " for at in range(5)) for turn in range(3)]
                assert said == expected
            with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as answer:
                stats = json.loads(answer.read())
            assert stats["stats"]["started"] == len(receipts), stats


@pytest.mark.model
@pytest.mark.timeout(300)
def test_three_turns_with_the_real_built_in_model() -> None:
    with workplace() as directory:
        kept = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "parley"
        (directory / "data").mkdir(mode=0o700)
        for name in ("models", "model"):
            with contextlib.suppress(OSError):
                (directory / "data" / name).symlink_to(kept / name)
        began = time.monotonic()
        with deployment(directory) as up:
            print(f"\nfrom the command to ready, with the built-in model: {time.monotonic() - began:.2f} s")
            assert up.parts("model-server")
            conversation = call(up, "POST", "/api/conversations", {})["id"]
            for question in ("My name is Ada.", "What is the capital of Italy?", "What did I tell you first?"):
                turn = ask(up, conversation, question, 120)
                print(f"> {question}\n{turn['text'].strip()}")
                assert turn["status"] in ("completed", "incomplete")
                assert turn["text"].strip()
            usage = [turn["usage"] for turn in call(up, "GET", f"/api/conversations/{conversation}/turns")["data"]]
            # The prompt grows with the history: it reached the model.
            assert usage[0]["input_tokens"] < usage[1]["input_tokens"] < usage[2]["input_tokens"]
            before = texts(up, conversation)
        with deployment(directory) as up:
            assert texts(up, conversation) == before
