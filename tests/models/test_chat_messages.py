"""Messages as chat completions take them, and calls as they stream back."""

from typing import Any

import msgspec
import pytest

from parley.core.calls import argue, begin
from parley.core.message import Call, Message
from parley.models.chat_messages import chat_messages
from parley.models.chat_stream import ChatStream
from parley.models.model import ModelError


def called(name: str) -> dict[str, Any]:
    return {"id": f"id-{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}


def call(name: str) -> Message:
    return Message("assistant", "", (Call(f"id-{name}", name, ""),))


def answer(name: str) -> Message:
    return Message("tool", f"{name} did", call=f"id-{name}")


def test_calls_next_to_each_other_are_one_message() -> None:
    said = [Message("developer", "be"), Message("user", "go"), Message("assistant", "ok"), call("a"), call("b")]
    assert chat_messages([*said, answer("a"), answer("b")]) == [
        {"role": "system", "content": "be"},
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "ok", "tool_calls": [called("a"), called("b")]},
        {"role": "tool", "tool_call_id": "id-a", "content": "a did"},
        {"role": "tool", "tool_call_id": "id-b", "content": "b did"},
    ]


def test_calls_and_answers_without_each_other_are_left_out() -> None:
    said = [Message("user", "go"), call("a"), call("b"), answer("a"), answer("c"), Message("user", "on")]
    assert chat_messages(said) == [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [called("a")]},
        {"role": "tool", "tool_call_id": "id-a", "content": "a did"},
        {"role": "user", "content": "on"},
    ]
    assert chat_messages([answer("a"), call("a")]) == []


def pieces(*calls: dict[str, Any], whole: bool = False) -> str:
    """What these calls come to on the channel `tool`, each in a chunk of its own, or all in one whole answer."""
    stream = ChatStream()
    found = []
    for each in [list(calls)] if whole else [[call] for call in calls]:
        choice = {"message" if whole else "delta": {"tool_calls": each}}
        found += stream.take(msgspec.json.encode({"choices": [choice]}))
    assert {piece.channel for piece in found} == {"tool"}
    return "".join(piece.text for piece in found)


def part(arguments: str, **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", None)
    return {**fields, "function": {"arguments": arguments, **({"name": name} if name else {})}}


EXPECTED = begin("f") + argue('{"a"') + argue(": 1}") + begin("g") + argue("{}")


@pytest.mark.parametrize(
    "calls",
    [
        [
            part("", index=0, id="1", name="f"),
            part('{"a"', index=0),
            part(": 1}", index=0),
            part("{}", index=1, name="g"),
        ],
        [
            part('{"a"', index=0, id="1", name="f"),
            part(": 1}", index=0, id="1", name="f"),
            part("{}", index=1, name="g"),
        ],
        [part('{"a"', index=0, id="1", name="f"), part(": 1}", index=0, id=""), part("{}", index=0, id="2", name="g")],
        [part('{"a"', id="1", name="f"), part(": 1}"), part("{}", id="2", name="g")],
        [part('{"a"', name="f"), part(": 1}"), part("{}", name="g")],
    ],
)
def test_every_servers_way_of_streaming_calls_is_read(calls: list[dict[str, Any]]) -> None:
    assert pieces(*calls) == EXPECTED


def test_the_calls_of_a_whole_answer_are_read() -> None:
    assert pieces(part("{}", id="1", name="f"), part("", name="f"), whole=True) == begin("f") + argue("{}") + begin("f")


def test_a_call_without_a_name_is_no_answer() -> None:
    with pytest.raises(ModelError) as caught:
        pieces(part("{}", index=0))
    assert caught.value.code == "upstream_invalid"
