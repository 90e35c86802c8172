"""The built-in model: a real conversation with real weights."""

import asyncio
import os
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from parley.core.message import Message, Parameters, Transcript
from parley.core.pieces import Piece
from parley.models.backend import BACKENDS
from parley.models.local_server import BACKEND, MODEL, LocalServerError, serve
from parley.models.openai import OpenAIModel
from parley.models.secret import Secret
from parley.models.weights import fetch, find
from tests.models.helpers import hear, run

KEY = "a-key"
SERVE = f"""
import pathlib, sys
from parley.models.local_server import serve
serve(pathlib.Path(sys.argv[1]), api_key={KEY!r})
"""


@pytest.fixture(scope="module")
def demo_weights() -> Path:
    """The demo weights, fetched once a machine into the cache."""
    directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parley" / "models"
    return find(directory) or fetch(directory)


@asynccontextmanager
async def model_server(path: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        word, url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()
        assert word == "ready"
        yield url, process
    finally:
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 5) == 0


def open_model(url: str) -> OpenAIModel:
    return OpenAIModel("demo", url, MODEL, api_key=Secret(KEY), backend=BACKENDS[BACKEND])


@pytest.mark.model
def test_a_conversation_of_three_turns_continued_and_cancelled(demo_weights: Path) -> None:
    async def main() -> None:
        async with model_server(demo_weights) as (url, _):
            model = open_model(url)
            await three_turns(model)
            await continued(model)
            await cancelled(model)
            await too_long(model)
            await model.close()
            async with aiohttp.ClientSession() as client, client.get(url + "/v1/models") as reply:
                assert reply.status == 401

    run(main)


async def three_turns(model: OpenAIModel) -> None:
    """Each turn is answered, with usage that grows with the history."""
    messages: list[Message] = []
    counted = []
    for question in ("My name is Ada.", "What is the capital of Italy?", "Say one word."):
        messages.append(Message("user", question))
        heard = await hear(model.answer(Transcript(tuple(messages), Parameters(temperature=0.0, max_tokens=24))))
        assert heard.text.strip()
        assert heard.finish
        assert heard.finish.usage
        assert heard.finish.model == MODEL
        assert heard.finish.reason in ("stop", "length")
        assert len(heard.pieces) > 1
        counted.append(heard.finish.usage.input_tokens)
        messages.append(Message("assistant", heard.text))
    assert counted == sorted(set(counted))


async def continued(model: OpenAIModel) -> None:
    """The answer goes on right behind the partial one, whether that ends with a word or with a space."""
    italy, cat = Message("user", "What is the capital of Italy?"), Message("user", "Tell a story about a cat.")
    parameters = Parameters(temperature=0.0, max_tokens=12)
    for partial in ("The capital of Italy is", "The capital of Italy is "):
        heard = await hear(model.answer(Transcript((italy,), parameters, partial)))
        assert (partial + heard.text).startswith("The capital of Italy is Rome")
    whole = (await hear(model.answer(Transcript((cat,), parameters)))).text
    for end in (len("Once upon a"), len("Once upon a time, ")):
        heard = await hear(model.answer(Transcript((cat,), parameters, whole[:end])))
        assert (whole[:end] + heard.text).startswith(whole[: end + 10])


async def cancelled(model: OpenAIModel) -> None:
    """Dropping an answer frees its slot at once: with both slots taken, a further question would wait."""
    long = Transcript((Message("user", "Tell a long story."),), Parameters(max_tokens=1000))
    answers = [model.answer(long) for _ in range(2)]
    for answer in answers:
        assert isinstance(await anext(answer), Piece)
    for answer in answers:
        await answer.aclose()
    began = time.monotonic()
    short = Transcript((Message("user", "Hi"),), Parameters(max_tokens=2))
    assert (await hear(model.answer(short))).finish
    assert time.monotonic() - began < 5


async def too_long(model: OpenAIModel) -> None:
    heard = await hear(model.answer(Transcript((Message("user", "word " * 5000),))))
    assert heard.error
    assert (heard.error.code, heard.error.retryable) == ("context_too_long", False)


@pytest.mark.model
def test_it_dies_with_its_parent(demo_weights: Path) -> None:
    parent = f"""
        import asyncio, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {SERVE!r}, {str(demo_weights)!r}], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        child.wait()
    """

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(parent), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        child = int(await asyncio.wait_for(process.stdout.readline(), 60))
        assert running(child)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with asyncio.timeout(5):
            while running(child):
                await asyncio.sleep(0.02)

    run(main)


def running(process: int) -> bool:
    """Whether a process lives; one that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_what_cannot_be_served_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalServerError, match="needs an API key"):
        serve(tmp_path / "x", api_key="")
    with pytest.raises(LocalServerError, match="no model file"):
        serve(tmp_path / "x", api_key="k")


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"not a model")

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, str(path), stderr=asyncio.subprocess.PIPE
        )
        _, said = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode
        assert b"cannot be loaded as a GGUF model" in said

    run(main)
