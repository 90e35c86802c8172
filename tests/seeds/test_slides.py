"""The course's own lines, as its slides and exercises have them, in a fresh interpreter; nothing changed."""

import subprocess
import sys
from pathlib import Path

import openai
import pytest

from parley.seeds import chat, path
from tests.seeds.classroom import Classroom, Reader, _clean_environment, room
from tests.system.deployment import environment

__all__ = ["_clean_environment", "room"]

CHAT = """
import sys ; sys.path.append("packages/assistant/api") ; import chat
ch = chat.Chat({})
ch.add("system:I tell the country and you tell me the capital.")
ch.complete()
ch.add("user:Italy")
ch.complete()
ch.add("user:France")
ch.complete()
ch.messages
"""

HISTORY = """
import sys ; sys.path.append("packages/assistant/stateful")
import history, chat
# saving state
hi = history.History({})
hi.save("system:I tell the country you tell the capital")
hi.id()
# recovering the state
hi = history.History({"state": hi.id()})
hi.save("user:Rome")
ch = chat.Chat({})
hi.load(ch)
ch.messages
"""

STATEFUL = """
import sys ; sys.path.append("packages/assistant/stateful")
import history, chat
def main(args):
    inp, res = args["input"], {}
    # load the history in the chat
    hi = history.History(args)
    ch = chat.Chat(args)
    hi.load(ch)
    # add a message and save it
    msg = f"user:{inp}"
    ch.add(msg)
    hi.save(msg)
    # complete, save the assistant and return the id
    out = ch.complete()
    hi.save(f"assistant:{out}")
    res['state'] = hi.id()
    res['output'] = out
    return res
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A student's folder, with our classes where the course has its own."""
    for name in ("api", "stateful"):
        where = tmp_path / "packages" / "assistant" / name
        where.parent.mkdir(parents=True, exist_ok=True)
        where.symlink_to(path())
    return tmp_path


def program(room: Classroom, folder: Path, code: str) -> str:
    """Run lines as a program."""
    return ran(room, folder, [sys.executable, "-W", "error", "-c", code], "")


def ran(room: Classroom, folder: Path, command: list[str], said: str) -> str:
    done = subprocess.run(
        command, input=said, cwd=folder, env=environment(**room.variables),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    return done.stdout


def test_a1_to_a6_the_chat_class(room: Classroom, folder: Path) -> None:
    said = program(room, folder, CHAT + "print(*ch.messages, sep='\\n')")
    assert [eval(line)["content"] for line in said.splitlines()] == [
        "You are an helpful assistant.",
        "I tell the country and you tell me the capital.",
        "Italy",
        "You said: Italy (3 messages)",
        "France",
        "You said: France (5 messages)",
    ]


def test_a1_to_a6_typed_in_by_hand(room: Classroom, folder: Path) -> None:
    """In an interpreter each line shows its value; the transcript's 'completion is null' is a greeting."""
    said = ran(room, folder, [sys.executable, "-W", "error", "-i", "-q"], CHAT)
    assert said.splitlines()[:3] == [
        "'Hello from scripted'",
        "'You said: Italy (3 messages)'",
        "'You said: France (5 messages)'",
    ]


def test_a11_to_a14_the_history_class(room: Classroom, folder: Path) -> None:
    said = program(room, folder, HISTORY + "print(*ch.messages, sep='\\n'); print(hi.id())")
    *messages, state = said.splitlines()
    assert [tuple(eval(line).values()) for line in messages] == [
        ("system", "You are an helpful assistant."),
        ("system", "I tell the country you tell the capital"),
        ("user", "Rome"),
    ]
    assert state.startswith("conv_")


def test_a26_the_stateful_assistant(room: Classroom, folder: Path) -> None:
    """Each turn in an interpreter of its own, as in a cold container."""
    first = eval(program(room, folder, STATEFUL + "print(main({'input': 'Italy'}))"))
    second = eval(program(room, folder, STATEFUL + f"print(main({{'input': 'France', 'state': {first['state']!r}}}))"))
    assert first["output"] == "You said: Italy (2 messages)"
    assert second == {"state": first["state"], "output": "You said: France (4 messages)"}


def test_e4_1_a_students_own_stream(room: Classroom) -> None:
    """The exercise with the client the course uses: its chunks go down the socket as text."""
    client = openai.OpenAI(base_url=room.upstream.url, api_key="none")
    with Reader() as reader:
        res = client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "say 4 tag=own nulls"}], stream=True
        )
        assert chat.stream(reader.args, res) == "own:0000 own:0001 own:0002 own:0003 "
    client.close()
    assert b"ChatCompletionChunk" not in b"".join(reader.pieces)


def test_the_directory_is_printed() -> None:
    printed = subprocess.run([sys.executable, "-m", "parley.seeds"], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == path()
    assert {each.name for each in Path(path()).glob("*.py")} == {"chat.py", "history.py"}
