"""Replies sorted into blocks, and what of them a model is shown again."""

import pytest
from msgspec import DecodeError
from msgspec.structs import replace

from parley.core.blocks import answer_messages, input_messages
from parley.core.calls import Begun, Calls, argue, begin
from parley.core.message import Call, Message
from parley.core.pieces import Piece, record
from parley.core.turn import Outcome, Request, Status, Turn

REPLY = [
    Piece("let me see", "reasoning"),
    Piece("I'll "),
    Piece("look."),
    Piece(begin("look"), "tool"),
    Piece(argue('{"at":') + argue(' "the sky"}'), "tool"),
    Piece(begin("wait"), "tool"),
]


def ended(status: Status = "completed") -> Turn:
    body = "".join(piece.text for piece in REPLY)
    outcome = Outcome(status, body, record(REPLY))
    return Turn("a" * 16, "", 0, Request((Message("user", "one"), Message("user", "two"))), status, outcome)


def test_calls_are_read_however_they_were_cut() -> None:
    text = begin("f\n") + argue('{"a": "\n"') + argue("}")
    for at in range(len(text)):
        calls = Calls()
        assert calls.take(text[:at]) + calls.take(text[at:]) == [Begun("f\n"), '{"a": "\n"', "}"]
    with pytest.raises(DecodeError):
        Calls().take("what\n")


def test_an_answer_is_shown_again_as_messages() -> None:
    look = Call("call_" + "a" * 16 + "0004", "look", '{"at": "the sky"}')
    wait = Call("call_" + "a" * 16 + "0005", "wait", "")
    assert answer_messages(ended()) == (
        Message("assistant", "I'll look."),
        Message("assistant", "", (look,)),
        Message("assistant", "", (wait,)),
    )
    # Whether the last call was whole nobody knows.
    assert answer_messages(ended("incomplete"))[1:] == (Message("assistant", "", (look,)),)


def test_what_was_taken_out_is_not_shown() -> None:
    turn = replace(ended(), removed=frozenset({0, 3, 5}))
    assert input_messages(turn) == (Message("user", "two"),)
    assert [message.calls[0].name for message in answer_messages(turn)] == ["look"]
