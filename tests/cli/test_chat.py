"""`parley chat` as scripts use it: by argument and in a pipe, frames and exit statuses."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.pseudo_terminal import PseudoTerminal
from tests.cli.talking import PARLEY, environment, kinds, piped, play, terminal
from tests.client.scripted import ScriptedServer


def test_one_question_by_argument_by_pipe_and_by_both(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        assert await piped(server, tmp_path, "why?") == (0, "because\n", "")
        assert await piped(server, tmp_path, said="why?\n") == (0, "because\n", "")
        assert await piped(server, tmp_path, "why?", said="a log\n") == (0, "because\n", "")
        assert await piped(server, tmp_path, "-q", "but", "why", "not?") == (0, "because\n", "")
        assert [frame["input"] for frame in kinds(server, "say")] == ["why?", "why?", "why?\n\na log", "but why not?"]
        await piped(server, tmp_path, "-c", "-m", "large", "again")
        last = kinds(server, "say")[3:]
        assert last[0]["conversation"] == last[1]["conversation"]
        assert last[1]["model"] == "large"

    play(story, ["be", "cause"])


def test_output_in_a_pipe_is_bare_and_comes_as_it_is_written(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        process = await asyncio.create_subprocess_exec(
            *PARLEY, "go", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env=environment(tmp_path, PARLEY_URL=server.url),
        )  # fmt: skip
        assert process.stdout is not None
        turn = await server.asked()
        server.delta(turn, "# **one**\n")
        assert await process.stdout.readline() == b"# **one**\n"
        server.delta(turn, "two")
        assert await process.stdout.readexactly(3) == b"two"
        server.end(turn, "incomplete")
        assert await process.stdout.read() == b"\n"
        assert await process.wait() == 0

    play(story)


def test_a_rewind_in_a_pipe_prints_the_whole_answer_again(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        process = await asyncio.create_subprocess_exec(
            *PARLEY, "go", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(tmp_path, PARLEY_URL=server.url),
        )  # fmt: skip
        assert process.stdout is not None
        turn = await server.asked()
        server.delta(turn, "left wrong")
        assert await process.stdout.readexactly(10) == b"left wrong"
        server.rewind(turn, 5)
        server.delta(turn, "right")
        server.end(turn)
        out, err = await process.communicate()
        assert (out, await process.wait()) == (b"\n\nleft right\n", 0)
        assert b"void" in err

    play(story)


def test_json_prints_the_frames_with_their_cursors(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        status, out, _ = await piped(server, tmp_path, "--json", "why?")
        frames = [json.loads(line) for line in out.splitlines()]
        assert status == 0
        assert [frame["type"] for frame in frames] == ["receipt", "started", "delta", "delta", "end"]
        (conversation,) = server.conversations.values()
        assert [frame["cursor"] for frame in frames] == [entry["cursor"] for entry in conversation.log]

    play(story, ["be", "cause"])


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_failed_reply_is_status_1(tmp_path: Path, option: list[str]) -> None:
    async def story(server: ScriptedServer) -> None:
        asking = asyncio.create_task(piped(server, tmp_path, "go", *option))
        turn = await server.asked()
        server.delta(turn, "so far")
        server.end(turn, "failed", error=("upstream_error", "The model is gone."))
        status, out, err = await asking
        assert status == 1
        assert "so far" in out
        assert "The model is gone." in (out if option else err)

    play(story)


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_an_interrupt_stops_the_reply_and_is_status_130(tmp_path: Path, option: list[str]) -> None:
    async def story(server: ScriptedServer) -> None:
        process = await asyncio.create_subprocess_exec(
            *PARLEY, "go", *option, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env=environment(tmp_path, PARLEY_URL=server.url),
        )  # fmt: skip
        assert process.stdout is not None
        turn = await server.asked()
        server.delta(turn, "so far")
        seen = b""
        while b"so far" not in seen:
            seen += await process.stdout.read(100)
        process.send_signal(signal.SIGINT)
        await process.stdout.read()
        assert await process.wait() == 130
        assert turn.status == "cancelled"

    play(story)


def test_who_reads_only_the_beginning_ends_it_quietly(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        process = await asyncio.create_subprocess_exec(
            *PARLEY, "go", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(tmp_path, PARLEY_URL=server.url),
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        turn = await server.asked()
        server.delta(turn, "one\n")
        assert await process.stdout.readline() == b"one\n"
        process.stdout._transport.close()  # type: ignore[attr-defined]
        while process.returncode is None:
            server.delta(turn, "more\n")
            await asyncio.sleep(0.01)
        assert (process.returncode, await process.stderr.read()) == (1, b"")
        assert turn.status == "in_progress"

    play(story)


def test_no_server_is_status_3(tmp_path: Path) -> None:
    async def main() -> None:
        async with ScriptedServer() as server:
            url = server.url
        status, out, err = await piped(url, tmp_path, "why?")
        assert (status, out) == (3, "")
        assert url in err
        assert "parley up" in err
        assert err.count("\n") == 1
        async with PseudoTerminal(PARLEY, environment(tmp_path, PARLEY_URL=url)) as screen:
            await screen.shows("No server")
            assert await screen.exit() == 3

    asyncio.run(main())


@pytest.mark.parametrize(
    ("arguments", "said", "complaint"),
    [
        ([], None, "no question"),
        ([], "  \n", "empty"),
        ([""], None, "empty"),
        (["--json"], None, "no question"),
        (["--url", "ftp://x", "why?"], None, "URL"),
        (["--nonsense"], None, "nonsense"),
        (["--id", "conv_nothing", "why?"], None, "no conversation of yours"),
        (["--id", "conv_" + "f" * 34, "why?"], None, "No such conversation"),
    ],
)
def test_what_cannot_be_asked_is_status_2(
    tmp_path: Path, arguments: list[str], said: str | None, complaint: str
) -> None:
    async def story(server: ScriptedServer) -> None:
        status, out, err = await piped(server, tmp_path, *arguments, said=said)
        assert (status, out) == (2, "")
        assert complaint in err

    play(story)


def test_what_is_piped_may_be_anything(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        process = await asyncio.create_subprocess_exec(
            *PARLEY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(tmp_path, PARLEY_URL=server.url)
        )  # fmt: skip
        await process.communicate(b"a\0b \xff")
        assert kinds(server, "say")[0]["input"] == "a\ufffdb \ufffd"

    play(story, ["because"])


def test_what_to_do_is_told_in_the_terminals_words(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        server.refuse["say"] = [("not_found_error", "model_not_found", "No such model.")]
        status, _, err = await piped(server, tmp_path, "-m", "nope", "why?")
        assert (status, err) == (1, "parley: No such model. /model in `parley chat` lists what there is.\n")

    play(story)


def test_the_token_goes_along_and_is_asked_for(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        assert (await piped(server, tmp_path, "why?", "--token", "secret"))[0] == 0
        assert (await piped(server, tmp_path, "why?", PARLEY_TOKEN="secret"))[0] == 0
        status, _, err = await piped(server, tmp_path, "why?")
        assert status == 1
        assert "PARLEY_TOKEN" in err

    play(story, ["because"], token="secret")


def test_the_state_directory_may_be_out_of_reach(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        blocked = tmp_path / "file"
        blocked.write_text("")
        assert (await piped(server, blocked, "why?"))[0] == 0
        async with terminal(server, blocked) as screen:
            await screen.shows("> ")
            screen.type("why?\r")
            await screen.shows("because")
        assert (await piped(server, blocked, "-c", "and?"))[0] == 0
        says = kinds(server, "say")
        assert says[2]["conversation"] == says[1]["conversation"] != says[0]["conversation"]

    play(story, ["because"])


def test_nothing_is_remembered_for_others_to_read(tmp_path: Path) -> None:
    async def story(server: ScriptedServer) -> None:
        async with terminal(server, tmp_path / "new") as screen:
            await screen.shows("> ")
            screen.type("a secret\r")
            await screen.shows("because")
        directory = tmp_path / "new" / "parley"
        assert directory.stat().st_mode & 0o077 == 0
        assert (directory / "typed").stat().st_mode & 0o077 == 0
        assert "a secret" in (directory / "typed").read_text()

    play(story, ["because"])
