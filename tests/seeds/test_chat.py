"""`Chat` of the first seed, row by row of what it shows (A1-A10, A21, A23, A24); the seed's own figures beside."""

import base64
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from parley.models.model import ModelError
from parley.seeds import chat, line
from parley.seeds.background import background
from parley.seeds.relay import SIZE, split
from parley.seeds.settings import SettingsError
from tests.seeds.classroom import Classroom, Reader, _clean_environment, classroom, room

__all__ = ["_clean_environment", "room"]


def asked(room: Classroom) -> list[tuple[str, str]]:
    """What the model was shown last."""
    return room.asked()[-1]


def pairs(ch: chat.Chat) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in ch.messages]


def test_a1_auth_is_sent_as_basic_and_never_shown(room: Classroom) -> None:
    """A1: `https://{AUTH}@{host}/v1` is sent as Basic; the lesson's own `simple.py` prints that URL into the logs."""
    host = room.upstream.root.removeprefix("http://")
    ch = chat.Chat(room.args(AUTH="uid:se cret/", OLLAMA_PROTO="http", OLLAMA_HOST=host))
    ch.add("user:Italy")
    ch.complete()
    given = room.upstream.seen[-1].authorization
    assert given == "Basic " + base64.b64encode(b"uid:se cret/").decode()
    assert "se cret" not in repr(vars(ch).get("_key"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"OLLAMA_HOST": "$"}, ""),
        ({"OLLAMA_HOSTPORT": "$", "OLLAMA_PROTO": "http", "OLLAMA_AUTH": "u:s"}, "Basic dTpz"),
        ({"OLLAMA_API_HOST": "http://$", "AUTH": "key"}, "Bearer key"),
        ({"OLLAMA_API_HOST": "http://$", "OLLAMA_TOKEN": "key"}, "Bearer key"),
    ],
)
@pytest.mark.parametrize("environment", [False, True])
def test_a1_old_and_newer_names_from_args_or_the_environment(
    room: Classroom, monkeypatch: pytest.MonkeyPatch, names: dict[str, str], expected: str, environment: bool
) -> None:
    """A1: `args.get(X, os.getenv(X))`, and the names that newer course code uses."""
    host = room.upstream.root.removeprefix("http://")
    given = {name: value.replace("$", host) for name, value in names.items()} | {"MODEL": "scripted"}
    if environment:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
    ch = chat.Chat({} if environment else given)
    ch.add("user:Italy")
    assert ch.complete() == "You said: Italy (2 messages)"
    assert room.upstream.seen[-1].authorization == expected


def test_a1_without_a_server_it_says_which_name_is_missing() -> None:
    with pytest.raises(SettingsError, match="OLLAMA_HOST is missing"):
        chat.Chat({})


def test_a2_messages_are_sent_whole_up_to_a_budget(room: Classroom) -> None:
    """A2: the seed sends an unbounded list; ours the system's messages and the newest exchanges that fit."""
    ch = chat.Chat(room.args())
    ch.add("system:You know capitals.")
    for number in range(20):
        ch.add(f"user:{number} " + "x" * 2000)
        ch.add(f"assistant:{number} " + "y" * 2000)
    ch.add("user:last")
    ch.complete()
    shown = asked(room)
    assert shown[:2] == [("system", chat.ROLE), ("system", "You know capitals.")]
    assert shown[-1] == ("user", "last")
    assert 3 < len(shown) < len(ch.messages)
    assert [role for role, _ in shown[2:]] == ["user", "assistant"] * ((len(shown) - 3) // 2) + ["user"]
    assert [text.split()[0] for _, text in shown[-3:-1]] == ["19", "19"]


def test_a3_the_default_prompt_comes_first_and_can_be_set(room: Classroom) -> None:
    """A3: `You are an helpful assistant.` comes first, always."""
    assert pairs(chat.Chat(room.args())) == [("system", "You are an helpful assistant.")]
    assert pairs(chat.Chat(room.args(ROLE="You are a pirate."))) == [("system", "You are a pirate.")]


def test_a4_a_line_is_split_at_its_first_colon(room: Classroom) -> None:
    """A4: `role:content`, split at the first colon."""
    ch = chat.Chat(room.args())
    ch.add("user:what: this: that")
    ch.add("assistant:")
    assert pairs(ch)[1:] == [("user", "what: this: that"), ("assistant", "")]


@pytest.mark.parametrize("bad", ["no colon", "", "bob:hello", "User:hello", " user:hello", "tool:x", "user:\ud800"])
def test_a4_bad_lines_are_refused(room: Classroom, bad: str) -> None:
    """A4: the seed takes any role; a line without a colon is a ValueError there, too."""
    ch = chat.Chat(room.args())
    with pytest.raises(ValueError, match="message"):
        ch.add(bad)
    assert len(ch.messages) == 1


def test_a4_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="not dict"):
        line.parse({"form": {}})  # type: ignore[arg-type]


def test_a5_complete_adds_the_answer_and_returns_it(room: Classroom) -> None:
    ch = chat.Chat(room.args())
    ch.add("user:Italy")
    answer = ch.complete()
    assert answer == "You said: Italy (2 messages)"
    assert pairs(ch)[-1] == ("assistant", answer)


@pytest.mark.parametrize(
    ("script", "code"),
    [("say 3 status=400", "upstream_"), ("say 3 status=401", "upstream_auth"), ("say 3 cut=2", "upstream_cut")],
)
def test_a5_a_failure_is_an_error_and_never_an_answer(room: Classroom, script: str, code: str) -> None:
    """A5: the seed answers the word `error`, and its history stores that as what the assistant said."""
    ch = chat.Chat(room.args())
    ch.add(f"user:{script}")
    before = pairs(ch)
    with pytest.raises(ModelError) as caught:
        ch.complete()
    assert caught.value.code.startswith(code)
    assert pairs(ch) == before


def test_a6_with_nothing_to_answer_it_greets_and_asks_nobody(room: Classroom) -> None:
    """A6: the seed calls the model with the system's message alone; the transcript says 'completion is null'."""
    calls = room.upstream.stats.started
    ch = chat.Chat(room.args())
    ch.add("system:I tell the country and you tell me the capital.")
    assert ch.complete() == "Hello from scripted"
    assert len(ch.messages) == 2
    assert room.upstream.stats.started == calls


def test_a7_an_answer_goes_down_the_socket_as_readers_can_take_it(room: Classroom) -> None:
    """A7, b.4: the seed's bytes for "Rome" are `{"output": ""}{"output": "Ro"}{"output": "me"}{"output": null}`."""
    with Reader() as reader:
        ch = chat.Chat(room.args(**reader.args))
        ch.state = "conv_1"
        ch.add("user:say 300 delay=0.002 nulls tag=é")
        answer = ch.complete()
    assert answer == room_text("é", 300)
    objects = [json.loads(piece) for piece in reader.pieces]  # each read is whole, as the known readers need it
    assert objects[0] == {"state": "conv_1"}
    assert objects[-1] == {}
    outputs = objects[1:-1]
    assert all(set(each) == {"output"} and each["output"] for each in outputs)
    assert "".join(each["output"] for each in outputs) == answer
    assert all(len(piece) <= SIZE and piece.isascii() for piece in reader.pieces)
    assert 3 < len(outputs) < 300, "coalesced, but not held back"


def room_text(tag: str, count: int) -> str:
    return "".join(f"{tag}:{number:04d} " for number in range(count))


def test_a8_what_is_stored_is_what_was_streamed(room: Classroom) -> None:
    """A8, d.10: the published solution stores `ChatCompletionChunk(id='c', choices=[…`, 1,411 characters for "Rome"."""
    with Reader() as reader:
        ch = chat.Chat(room.args(**reader.args))
        ch.add("user:say 2 tag=rome")
        answer = ch.complete()
    assert answer == "rome:0000 rome:0001 " == ch.messages[-1]["content"]
    assert "".join(json.loads(piece).get("output", "") for piece in reader.pieces) == answer


def chunk(text: str | None) -> Any:
    return SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=text))])


def test_a8_stream_takes_the_chunks_of_an_openai_client() -> None:
    """E4.1: a student's own `client.chat.completions.create(stream=True)`, whose first and last chunks are empty."""
    with Reader() as reader:
        lines = [chunk(""), chunk("Ro"), chunk("me"), chunk(None), SimpleNamespace(choices=[])]
        assert chat.stream(reader.args, lines) == "Rome"
    assert [json.loads(piece) for piece in reader.pieces][-1] == {}
    with pytest.raises(TypeError, match="not dict"):
        chat.stream({}, [{"output": "x"}])


def test_a9_without_a_socket_the_same_action_works_plain(room: Classroom) -> None:
    """A9: `int(None)` is caught and answered as `{"output": "error", "streaming": true}`."""
    for args in ({}, {"STREAM_HOST": "127.0.0.1"}, {"STREAM_PORT": "1"}, {"STREAM_HOST": "", "STREAM_PORT": ""}):
        ch = chat.Chat(room.args(**args))
        ch.add("user:Italy")
        assert ch.complete() == "You said: Italy (2 messages)"


@pytest.mark.parametrize("port", ["zero", "0", "70000", "-1", "¹"])
def test_a9_a_port_that_is_none_is_refused(room: Classroom, port: str) -> None:
    ch = chat.Chat(room.args(STREAM_HOST="127.0.0.1", STREAM_PORT=port))
    ch.add("user:Italy")
    with pytest.raises(SettingsError, match="STREAM_PORT"):
        ch.complete()


def test_a9_a_host_that_is_not_allowed_is_refused(room: Classroom) -> None:
    """b.2: whoever calls a public action can point STREAM_HOST at any host inside."""
    for allowed, refused in (("10.0.0.0/8, ::1", True), ("127.0.0.0/8", False), ("streamer,127.0.0.1", False)):
        with Reader() as reader:
            ch = chat.Chat(room.args(**reader.args, PARLEY_STREAM_ALLOW=allowed))
            ch.add("user:Italy")
            if refused:
                with pytest.raises(SettingsError, match="PARLEY_STREAM_ALLOW"):
                    ch.complete()
                chat.stream(reader.args, ["so that the reader hears something"])
            else:
                assert ch.complete()


def test_a10_a_reader_that_goes_away_aborts_nothing(room: Classroom) -> None:
    """A10: the seed's own handler, `traceback.print_exc(e)`, raises a TypeError."""
    with Reader(leaves=True) as reader:
        ch = chat.Chat(room.args(**reader.args))
        ch.add("user:say 200 delay=0.003 tag=on")
        answer = ch.complete()
    assert answer == room_text("on", 200) == ch.messages[-1]["content"]


def test_a10_a_streamer_that_is_not_there_aborts_nothing(room: Classroom) -> None:
    with Reader() as reader:
        args = reader.args
        chat.stream(args, ["taken"])
    ch = chat.Chat(room.args(**args))
    ch.add("user:Italy")
    assert ch.complete() == "You said: Italy (2 messages)"


def test_a10_a_reader_is_told_of_a_failure(room: Classroom) -> None:
    """b.4: `{"output": "\\n\\n[error …]"}`, then the end as ever."""
    with Reader() as reader:
        ch = chat.Chat(room.args(**reader.args))
        ch.add("user:say 5 cut=2 tag=half")
        with pytest.raises(ModelError):
            ch.complete()
    objects = [json.loads(piece) for piece in reader.pieces]
    assert "".join(each.get("output", "") for each in objects) == "half:0000 half:0001 \n\n[error upstream_cut]"
    assert objects[-1] == {}


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 1000, "🦜" * 500, '"\\\n' * 700, "a", ""])
def test_b4_pieces_fit_the_streamers_buffer(text: str) -> None:
    parts = list(split(text))
    assert "".join(parts) == text
    assert all(parts)
    assert all(len(json.dumps({"output": part})) <= SIZE for part in parts)
    assert len(parts) <= len(json.dumps(text)) // 1900 + 1


def test_a_chat_can_be_taken_piece_by_piece(room: Classroom) -> None:
    ch = chat.Chat(room.args())
    ch.add("user:say 5 tag=p")
    pieces = list(ch.stream())
    assert len(pieces) > 1
    assert "".join(pieces) == ch.messages[-1]["content"] == room_text("p", 5)


def test_an_iteration_that_is_left_ends_the_request(room: Classroom) -> None:
    ch = chat.Chat(room.args())
    ch.add("user:say 100000 delay=0.01 tag=left")
    left = room.upstream.stats.disconnected
    pieces = ch.stream()
    assert isinstance(pieces, Iterator)
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while room.upstream.stats.disconnected == left:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ch.messages[-1]["role"] == "user"


def test_a21_connections_are_kept_between_activations(room: Classroom) -> None:
    """A21: a new connection for each call."""
    background.close()
    for _ in range(3):
        ch = chat.Chat(room.args())
        ch.add("user:Italy")
        ch.complete()
    assert sum(1 for name in background._kept if isinstance(name, tuple)) == 1


def test_a23_a_model_belongs_to_its_chat(room: Classroom) -> None:
    """A23: the lesson changes a module's global, which switches the model for every user of a warm container."""
    one, two = chat.Chat(room.args(MODEL="phi4:14b")), chat.Chat(room.args(MODEL="mistral"))
    for ch in (one, two):
        ch.add("user:Italy")
        ch.complete()
    assert [seen.body["model"] for seen in list(room.upstream.seen)[-2:]] == ["phi4:14b", "mistral"]


def test_without_a_name_the_first_model_of_the_server_answers() -> None:
    with classroom(models=("llama3.1:8b", "phi4:14b")) as room:
        ch = chat.Chat(room.args(MODEL=""))
        assert ch.complete() == "Hello from llama3.1:8b"
    with pytest.raises(ModelError, match="MODEL is not set"):
        chat.Chat({"OLLAMA_HOST": "http://127.0.0.1:9"}).complete()


def test_a24_reasoning_is_not_the_answer(room: Classroom) -> None:
    """A24: the lesson shows `<think>` as text."""
    ch = chat.Chat(room.args())
    ch.add("user:say 2 reasoning=5 tag=thought")
    assert ch.complete() == room_text("thought", 2)
