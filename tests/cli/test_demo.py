"""`parley demo`: the story is told at a terminal and into a pipe; what is not true is not told."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from parley.cli.main import main
from tests.cli.pseudo_terminal import PseudoTerminal
from tests.system.deployment import environment

TOKENS = 160
STORY = "".join(f"story:{at:04d} " for at in range(TOKENS))
PARLEY = (sys.executable, "-P", "-m", "parley", "demo")


@pytest.fixture(scope="module")
def model() -> Iterator[tuple[str, ...]]:
    """The arguments that lead to a model that tells a long story of a lighthouse, and to a short one of a mouse."""
    answers = (f"--answer=lighthouse=say {TOKENS} tag=story delay=0.02", "--answer=mouse=say 10 tag=mouse")
    command = [sys.executable, "-P", "-m", "parley.testing.upstream", *answers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield "--model-url", process.stdout.readline().split()[1], "--model", "scripted"
        process.terminate()


@pytest.mark.timeout(180)
def test_the_story_at_a_terminal(model: tuple[str, ...]) -> None:
    async def watch() -> tuple[int, str, str]:
        env = environment(TERM="xterm-256color") | {"COLUMNS": "100"}
        env.pop("NO_COLOR", None)
        async with PseudoTerminal([*PARLEY, *model], env, deadline=115) as terminal:
            await terminal.shows("> Tell me a long story about a lighthouse keeper")
            await terminal.shows("story:0000 story:0001")
            for part in (": the worker that writes this", ": the web server", ": redis-server"):
                await terminal.shows("kill -9 ")
                await terminal.shows(part)
                await terminal.shows(" s later: ")
            await terminal.shows("after each kill it went on within")
            return await terminal.exit(), terminal.text, terminal.output

    status, shown, output = asyncio.run(watch())
    assert status == 0, shown
    assert "\x1b[1;31mkill" in output.replace("  kill", "kill")
    assert f"yes {len(STORY):,} characters, each of them said by the model, once" in shown
    assert "NO " not in shown
    assert max(map(len, shown.split("\n"))) <= 100
    # All of the text is there, once, between what was told.
    assert re.findall(r"story:\d{4}", shown) == STORY.split()


@pytest.mark.timeout(180)
def test_the_story_into_a_pipe(model: tuple[str, ...]) -> None:
    done = subprocess.run([*PARLEY, *model], capture_output=True, text=True, env=environment(), timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert re.findall(r"story:\d{4}", done.stdout) == STORY.split()
    assert re.search(r"\n  worker      killed after \d+ characters; the reply went on \d+\.\d\d s later\n", done.stdout)
    assert done.stderr == ""


def test_a_reply_that_is_over_too_soon_shows_nothing(model: tuple[str, ...]) -> None:
    done = subprocess.run(
        [*PARLEY, *model, "--json", "Of a mouse."], capture_output=True, text=True, env=environment(), timeout=170
    )
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["kills"] == []
    assert [check["holds"] for check in found["checks"]] == [True] * 3
    assert "mouse:0009" in done.stderr


def test_what_the_model_did_not_say_is_found_out(
    model: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The witness heard that another beginning was given to the model than the one that is shown."""
    for name in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("parley.chaos.witness.partial_of", lambda _: "Twice ")
    assert main(["demo", *model, "Of a mouse."]) == 1
    assert "  NO  110 characters, each of them said by the model, once\n" in capsys.readouterr().out


def test_without_a_model_the_advice_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["demo"]) == 2
    assert "`pip install xllamacpp`" in capsys.readouterr().err
