"""The verbs that ask a server, each run as people run it, with everything real behind it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley import Chat, Client
from parley.testing import Server
from tests.cli.pseudo_terminal import PseudoTerminal
from tests.cli.talking import environment
from tests.redis_servers import free_port
from tests.system.deployment import until

PARLEY = [sys.executable, "-P", "-m", "parley"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(answers={"Italy": "**Rome**", "escape": "red \x1b[31mtext\x1b]0;title\x07 end"}) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as opened:
        yield opened


class Shell:
    """Runs verbs against a server."""

    def __init__(self, url: str, state: Path) -> None:
        self.env = environment(state, PARLEY_URL=url)

    def __call__(self, *words: str, said: str = "", status: int = 0) -> str:
        """What a verb prints; what it complains of when it is to fail."""
        ran = subprocess.run(
            [*PARLEY, *words], env=self.env, input=said, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == status, ran.stderr
        return ran.stderr if status else ran.stdout


@pytest.fixture
def parley(server: Server, tmp_path: Path) -> Shell:
    return Shell(server.url, tmp_path)


def chat(client: Client, title: str, *said: str) -> Chat:
    made = client.conversation(title=title)
    for text in said:
        made.say(text).wait()
    return made


def short(chat: Chat) -> str:
    return chat.id[5:13]


def test_ls(client: Client, parley: Shell) -> None:
    one, two = chat(client, "one\x1b[2J", "Italy"), chat(client, "two")
    lines = parley("ls").splitlines()
    assert f"{short(two)}   now     0  two" in lines[0]
    assert f"{short(one)}   now     1  one" in lines[1]
    assert parley("ls", "-n", "1") == lines[0] + "\n"
    found = json.loads(parley("ls", "-n", "2", "--json").splitlines()[1])
    assert (found["id"], found["title"], found["turns"]) == (one.id, "one\x1b[2J", 1)
    running = chat(client, "running")
    reply = running.say("say 3000 delay=0.01")
    until(lambda: bool(reply.partial))
    assert parley("ls", "-n", "1").startswith(f"● {short(running)}")
    reply.cancel()


def test_show_is_plain_in_a_pipe_and_harmless(client: Client, parley: Shell) -> None:
    made = chat(client, "shown", "Italy", "an escape, please")
    assert parley("show", short(made)) == "> Italy\n**Rome**\n\n> an escape, please\nred text end\n\n"
    turns = [json.loads(line) for line in parley("show", made.id, "--json").splitlines()]
    assert [turn["text"] for turn in turns] == ["**Rome**", "red \x1b[31mtext\x1b]0;title\x07 end"]
    assert turns[1]["parent"] == turns[0]["turn"]


def test_search(client: Client, parley: Shell) -> None:
    made = chat(client, "Travelling", "the heron of Ravenna")
    other = chat(client, "heron in a title")
    assert {line[2:10] for line in parley("search", "HERON").splitlines()} == {short(made), short(other)}
    assert {line[2:10] for line in parley("search", "heron", "--titles").splitlines()} == {short(other)}
    assert parley("search", "no such word", status=1) == ""


def test_share(client: Client, parley: Shell) -> None:
    made = chat(client, "shared")
    url = parley("share", short(made)).strip()
    assert url.startswith(f"{client.url}/s/")
    told = f"{client.url}/api/shared/{url.rpartition('/')[2]}"
    with urllib.request.urlopen(told, timeout=20) as answer:
        assert json.load(answer)["about"]["title"] == "shared"
    assert parley("share", short(made), "--revoke") == ""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(told, timeout=20)


def test_rename_and_rm(client: Client, parley: Shell, tmp_path: Path) -> None:
    made, other = chat(client, "before"), chat(client, "other")
    parley("rename", short(made), "after")
    assert made.get().about.title == "after"
    assert "is no conversation of yours" in parley("rm", short(made), "00nothing", status=1)
    assert made.get().about.title == "after"  # nothing is forgotten unless all are known
    assert parley("rm", made.id) == f"forgot {short(made)} after (0 turns)\n"
    assert "was deleted" in parley("show", made.id, status=1)

    async def story() -> None:
        command = [*PARLEY, "rm", short(other)]
        for answer, said, status in (("n\r", "", 0), ("\x04", "", 0), ("\x03", "", 130), ("y\r", "forgot", 0)):
            async with PseudoTerminal(command, parley.env) as screen:
                await screen.shows(f"forget {short(other)} other (0 turns)? [y/N] ")
                screen.type(answer)
                assert await screen.exit() == status
                assert said in screen.text
                assert "Traceback" not in screen.text

    asyncio.run(story())
    assert short(other) not in parley("ls", "-n", "0")


def test_export_and_import_lose_nothing(client: Client, parley: Shell, tmp_path: Path) -> None:
    made = chat(client, "Kept: ünïcode", "Italy", "say 5 tag=x reasoning=3", "again")
    first = made.get().turns[0]
    made.say("instead", parent="").wait()
    file = tmp_path / "kept.json"
    parley("export", short(made), "-o", str(file))
    assert parley("export", short(made)) == file.read_text()
    new = parley("import", str(file)).strip()
    assert new != made.id
    assert client.get(new).about.title == "Kept: ünïcode"

    def told(conversation: str) -> list[tuple[str, ...]]:
        turns = client.history(conversation)
        return [(turn.turn, turn.parent, turn.question, turn.text, turn.reasoning, turn.status) for turn in turns]

    assert told(new) == told(made.id)
    assert told(parley("import", said=file.read_text()).strip()) == told(made.id)
    # One goes on with it, behind any turn of it.
    assert client.say(new, "and now?", parent=first.turn).text == "You said: and now? (3 messages)"
    shown = parley("export", short(made), "--md")
    assert shown.startswith("# Kept: ünïcode\n\n## You\n\nItaly\n\n## scripted\n\n**Rome**\n\n## You\n\n")
    assert "cannot be written" in parley("export", made.id, "-o", "/nowhere/x", status=2)
    assert "cannot be read" in parley("import", "/nowhere/x", status=2)
    assert "no exported conversation" in parley("import", said='{"format": 1}', status=1)
    assert "format 'parley/9'" in parley("import", said=file.read_text().replace("parley/1", "parley/9"), status=1)


def test_long_conversations_are_read_and_written_whole(client: Client, parley: Shell, tmp_path: Path) -> None:
    made = client.conversation(title="long")
    for number in range(13):
        made.say(f"say 4000 tag=long{number}").wait()
    file = tmp_path / "long.json"
    parley("export", made.id, "-o", str(file))
    assert file.stat().st_size > 500_000
    new = parley("import", str(file)).strip()
    assert [turn.text for turn in client.history(new)] == [turn.text for turn in client.history(made.id)]


def test_attach_in_a_pipe_reads_the_reply_to_its_end(client: Client, parley: Shell) -> None:
    made = client.conversation(title="Titled, so that no event tells of a title later")
    made.say("say 30 tag=p delay=0.01")
    whole = "".join(f"p:{number:04d} " for number in range(30))
    assert parley("attach", short(made), "-q") == whole + "\n"
    assert parley("attach", short(made)) == whole + "\n"
    events = [json.loads(line) for line in parley("attach", made.id, "--json", "--after", "0-0").splitlines()]
    assert all(event["cursor"] for event in events)
    cursor = events[0]["cursor"]
    rest = [json.loads(line) for line in parley("attach", made.id, "--json", "--after", cursor).splitlines()]
    assert rest == events[1:]
    assert "is no conversation of yours" in parley("attach", "ffffffff", status=2)


def test_attach_in_a_pipe_leaves_the_reply_alone_at_ctrl_c(client: Client, parley: Shell) -> None:
    made = client.conversation()
    reply = made.say("say 3000 delay=0.01")
    with subprocess.Popen(
        [*PARLEY, "attach", made.id], env=parley.env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert reply.status == "in_progress"
    reply.cancel()


def test_attach_on_a_terminal_goes_on_with_the_conversation(client: Client, parley: Shell) -> None:
    made = chat(client, "Capitals", "Italy")

    async def story() -> None:
        async with PseudoTerminal([*PARLEY, "attach", short(made)], parley.env) as screen:
            await screen.shows("Capitals · 1 turn")
            await screen.shows("> Italy")
            await screen.shows("Rome")
            await screen.shows("> ")
            screen.type("hello\r")
            await screen.shows("You said: hello (3 messages)")
            await screen.shows(f"turn 2 of {short(made)}")
            await screen.shows("> ")
            screen.type("\x04")
            await screen.shows(f"back to it: parley attach {short(made)}")
            assert await screen.exit() == 0

    asyncio.run(story())


def test_a_conversation_that_is_deleted_meanwhile_is_followed_by_another(client: Client, parley: Shell) -> None:
    made = chat(client, "deleted meanwhile", "one")

    async def story() -> None:
        async with PseudoTerminal([*PARLEY, "chat", "--id", short(made)], parley.env) as screen:
            await screen.shows("> one")
            await screen.shows("\n> ")
            await asyncio.to_thread(made.delete)
            screen.type("two\r")
            await screen.shows("was deleted. Your next message begins another.")
            await screen.shows("> ")
            screen.type("three\r")
            await screen.shows("You said: three (1 messages)")
            await screen.shows("> ")
            screen.type("\x04")
            assert await screen.exit() == 0

    asyncio.run(story())


def test_the_other_words_of_the_repl(client: Client, parley: Shell, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "%s\\nof Italy\\n" "$(cat "$1")" > "$1"\n')
    editor.chmod(0o755)
    saved = tmp_path / "saved.md"

    async def story() -> None:
        async with PseudoTerminal([*PARLEY, "chat", "--plain"], parley.env | {"EDITOR": str(editor)}) as screen:

            async def types(line: str, *shown: str) -> None:
                await screen.shows("> ")
                screen.type(line)
                for text in shown:
                    await screen.shows(text)

            await types("/back\r", "nothing before that")
            await types("/copy\r", "no answer yet")
            await types(f"/save {saved}\r", "nothing was said yet")
            await types("one\r", "You said: one (1 messages)", "turn 1 of ")
            await types("two\r", "You said: two (3 messages)")
            await types("/back\r", "left out: two")
            await types("three\r", "You said: three (3 messages)")
            await types("/back\r", "left out: three")
            await types("/back\r", "left out: one")
            await types("/back\r", "nothing before that")
            await types("four\r", "You said: four (1 messages)")
            await types("/copy\r", "27 characters are in the clipboard")
            await types("/set\r")
            await types("/set warmth 3\r", "there is no 'warmth'; there is: temperature")
            await types("/set temperature hot\r", "temperature takes a number from 0 to 2, not 'hot'")
            await types("/set temperature 9\r", "temperature takes a number from 0 to 2, not '9'")
            await types("/set temperature 0.3\r", "temperature is 0.3 from now on")
            await types("/set\r", "temperature", "0.3")
            await types("/set temperature\r", "temperature is left to the model")
            await types("/set system Be brief.\r", "instructions set")
            await types("/edit the capital\r")
            await types("", "of Italy")
            screen.type("\r")
            await screen.shows("Rome")
            await types("what of\x0f", "of Italy")
            screen.type("\r")
            await screen.shows("Rome")
            await types(f"/save {saved}\r", "6 turns in ")
            await types(f"/save {saved}\r", "cannot be written: File exists")
            await types("/bye\r", "parley attach ")
            assert await screen.exit() == 0
            assert "\x1b]52;c;WW91IHNhaWQ6IGZvdXIgKDEgbWVzc2FnZXMp\x07" in screen.output

    asyncio.run(story())
    assert "the capital\nof Italy" in saved.read_text()
    made = client.conversations(limit=1)[0]
    parents = {turn.question: turn.parent for turn in client.history(made.id)}
    assert parents["two"] == parents["three"] != ""
    assert parents["one"] == parents["four"] == ""


def test_without_a_server_each_says_what_to_do(tmp_path: Path) -> None:
    parley = Shell(f"http://127.0.0.1:{free_port()}", tmp_path)
    for words in (
        ["ls"],
        ["show", "1"],
        ["search", "x"],
        ["rename", "1", "x"],
        ["rm", "1"],
        ["export", "1"],
        ["share", "1"],
        ["attach", "1"],
    ):
        assert "Start one with `parley up`" in parley(*words, status=3)
    assert "is no server's URL" in parley("ls", "--url", "ftp://x", status=2)
    assert "invalid number value" in parley("ls", "-n", "-3", status=2)


def test_attach_from_a_cursor(client: Client, parley: Shell) -> None:
    made = chat(client, "cursors", "Italy")
    first = next(iter(client.follow(made.id)))
    assert parley("attach", made.id, "--json", "--after", first.cursor) == ""
    assert "'foo' is no cursor" in parley("attach", made.id, "--json", "--after", "foo", status=1)
    assert "--after is for --json" in parley("attach", made.id, "--after", first.cursor, status=2)


def test_top_reads_what_goes_on(client: Client, server: Server, parley: Shell, tmp_path: Path) -> None:
    data = ["--data", str(server.data)]
    made = client.conversation()
    reply = made.say("say 3000 delay=0.01")
    until(lambda: len(reply.partial) > 100)
    shown = parley("top", *data)
    assert "running 1   workers at work 1   dead letters 0" in shown
    assert made.id in shown
    seen = json.loads(parley("top", "--once", "--json", *data))
    (running,) = seen["running"]
    assert (running["conversation"], running["attempts"]) == (made.id, 1)
    assert running["size"] > 100
    assert [worker["turns"] for worker in seen["workers"]] == [1]

    async def story() -> None:
        async with PseudoTerminal([*PARLEY, "top", "--every", "0.1", *data], parley.env) as screen:
            await screen.shows("kB/s")
            await screen.shows(made.id)
            screen.type("\x03")
            assert await screen.exit() == 0

    asyncio.run(story())
    reply.cancel()
    assert "no Redis runs on the data directory" in parley("top", "--data", str(tmp_path), status=2)


def test_config_tells_where_each_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "parley.toml").write_text("port = 9000\n[limits]\nturns = 7\n")
    env = environment(tmp_path, PARLEY_ACCESS_KEY="secret", PARLEY_REDIS="redis://me:hidden@h:1/2", PARLEY_PORT="9001")

    def config(*words: str) -> str:
        command = [*PARLEY, "config", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    shown = config("--prefix", "p:")
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert lines["port"] == ["9001", "PARLEY_PORT"]
    assert lines["limits.turns"] == ["7", "parley.toml"]
    assert lines["prefix"] == ["p:", "--prefix"]
    assert lines["host"] == ["127.0.0.1"]
    assert lines["access_key"] == ["(set)", "PARLEY_ACCESS_KEY"]
    assert "secret" not in shown
    assert "hidden" not in shown
    assert json.loads(config("--json"))["port"] == {"value": 9001, "source": "PARLEY_PORT"}


@pytest.mark.parametrize(
    ("shell", "program"),
    [
        (
            "bash",
            "source {file}; COMP_WORDS=(parley {words}); COMP_CWORD={at}; _parley; printf '%s\\n' ${{COMPREPLY[@]}}",
        ),
        ("fish", "source {file}; complete -C 'parley {words}'"),
    ],
)
def test_completion(shell: str, program: str, tmp_path: Path) -> None:
    file = tmp_path / "completion"
    file.write_text(subprocess.run([*PARLEY, "completion", shell], capture_output=True, text=True, check=True).stdout)

    def complete(*words: str) -> list[str]:
        text = program.format(file=file, words=" ".join(words), at=len(words))
        ran = subprocess.run(
            [shell, "-c", text], capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)}
        )
        assert ran.returncode == 0, ran.stderr
        return [line.split("\t")[0] for line in ran.stdout.splitlines()]

    assert complete("exp") == ["export"]
    assert {"--json", "--md", "--output"} <= set(complete("export", "--"))
    assert set(complete("im")) == {"import", "import-seeds"}


def test_completion_of_zsh_is_sound(tmp_path: Path) -> None:
    script = subprocess.run([*PARLEY, "completion", "zsh"], capture_output=True, text=True, check=True).stdout
    checked = subprocess.run(["zsh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert script.startswith("#compdef parley\n")
