"""`parley chat` with everything real behind it: `parley up`, its Redis, its worker, and a scripted model."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.cli.pseudo_terminal import PseudoTerminal
from tests.cli.talking import PARLEY, environment, piped
from tests.system.deployment import Deployment, deployment, upstream, workplace


@pytest.fixture(scope="module")
def parley() -> Iterator[Deployment]:
    with workplace() as directory, upstream(directory) as model, deployment(directory, "--model-url", model) as up:
        yield up


@contextlib.asynccontextmanager
async def terminal(parley: Deployment, state: Path, *arguments: str) -> AsyncIterator[PseudoTerminal]:
    async with asyncio.timeout(60):
        argv, variables = [*PARLEY, *arguments], environment(state, PARLEY_URL=parley.url)
        async with PseudoTerminal(argv, variables) as screen:
            yield screen


def tokens(tag: str, first: int, last: int) -> str:
    """What the scripted model says, without spaces: they are where lines are wrapped."""
    return "".join(f"{tag}:{number:04d}" for number in range(first, last))


def squeezed(text: str) -> str:
    return text.replace(" ", "").replace("\n", "")


def test_a_conversation_of_three_turns(parley: Deployment, tmp_path: Path) -> None:
    async def main() -> None:
        async with terminal(parley, tmp_path) as screen:
            for number, said in enumerate(("say 3 tag=a", "hello there", "again"), 1):
                await screen.shows("> ")
                screen.type(f"{said}\r")
                shown = "a:0000 a:0001 a:0002" if number == 1 else f"You said: {said} ({2 * number - 1} messages)"
                await screen.shows(shown)
                await screen.shows("first ")
            await screen.shows("> ")
            screen.type("\x04")
            await screen.shows("parley attach ")
            assert await screen.exit() == 0

    asyncio.run(main())


@pytest.mark.parametrize("part", ["serve", "work", "redis-server"])
def test_a_part_is_killed_in_mid_reply_and_the_reply_goes_on(parley: Deployment, tmp_path: Path, part: str) -> None:
    async def main() -> None:
        async with terminal(parley, tmp_path, "--plain") as screen:
            await screen.shows("> ")
            screen.type(f"say 150 tag={part} delay=0.01\r")
            before = await screen.shows(f"{part}:0030")
            (victim,) = parley.parts(part)
            os.kill(victim, signal.SIGKILL)
            after = await screen.shows(f"{part}:0149")
            if part == "serve":
                assert "the server is away" in after
            for note in ("the server is away", "the worker was lost"):
                after = "\n".join(line for line in after.split("\n") if note not in line)
            assert squeezed(before[before.index(f"{part}:0000") :] + after) == tokens(part, 0, 150)

    asyncio.run(main())


def test_ctrl_c_stops_a_reply_and_the_next_message_is_answered(parley: Deployment, tmp_path: Path) -> None:
    async def main() -> None:
        async with terminal(parley, tmp_path) as screen:
            await screen.shows("> ")
            screen.type("say 9000 tag=long delay=0.01\r")
            await screen.shows("long:0020")
            screen.type("\x03")
            await screen.shows("stopped")
            await screen.shows("> ")
            screen.type("say 2 tag=next\r")
            await screen.shows("next:0001")

    asyncio.run(main())


def test_ctrl_d_leaves_a_reply_that_is_found_again_whole(parley: Deployment, tmp_path: Path) -> None:
    async def main() -> None:
        async with terminal(parley, tmp_path) as screen:
            await screen.shows("> ")
            screen.type("say 200 tag=far delay=0.01\r")
            await screen.shows("far:0020")
            screen.type("\x04")
            await screen.shows("the reply goes on")
            assert await screen.exit() == 0
        async with terminal(parley, tmp_path, "-c", "--plain") as screen:
            await screen.shows("> say 200")
            assert tokens("far", 0, 200) in squeezed(await screen.shows("far:0199"))

    asyncio.run(main())


def test_slash_words_mean_something_to_a_real_server(parley: Deployment, tmp_path: Path) -> None:
    async def main() -> None:
        async with terminal(parley, tmp_path) as screen:
            for typed, *shown in (
                ("/model", "scripted"),
                ("/model scripted", "answers from now on"),
                ("/system Be brief.", "instructions set"),
                ("first", "You said: first (2 messages)"),
                ("/retry", "You said: first (2 messages)"),
                ("second", "You said: second (4 messages)"),
                ("/info", "title", "first", "turns"),
                ("/share", "/s/", "whoever has it can read"),
                ("/share off", "no link leads here any more"),
                ("/new", "a new conversation"),
                ("third", "You said: third (2 messages)"),
                ("/list", "third", "first"),
                ("/open 2", "> second", "You said: second"),
            ):
                await screen.shows("> ")
                screen.type(f"{typed}\r")
                for text in shown:
                    await screen.shows(text)

    asyncio.run(main())


def test_questions_from_scripts(parley: Deployment, tmp_path: Path) -> None:
    async def main() -> None:
        status, out, err = await piped(parley.url, tmp_path, "why?", said="a log\n")
        assert (status, out, err) == (0, "You said: why?\n\na log (1 messages)\n", "")
        status, out, _ = await piped(parley.url, tmp_path, "--json", "say 3 tag=x")
        frames = [json.loads(line) for line in out.splitlines()]
        assert (status, frames[0]["type"], frames[-1]["type"]) == (0, "receipt", "end")
        assert "".join(frame.get("text", "") for frame in frames) == "x:0000 x:0001 x:0002 "
        status, out, err = await piped(parley.url, tmp_path, "say 9 tag=x error=3")
        assert (status, out) == (1, "x:0000 x:0001 x:0002 \n")
        assert "failed" in err
        status, out, err = await piped(parley.url, tmp_path, said="x" * 300_000)
        assert (status, out) == (1, "")
        assert err.count("\n") == 1

    asyncio.run(main())
