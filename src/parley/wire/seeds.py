"""The second seed's shapes, as its clients know them: the session JSON, the frames of ``/chat``, FastAPI's ``detail``.

A message is ``{"id", "msg", "timestamp"}``. In the history `msg` begins with ``Human: `` or ``Bot: ``, on the socket
it does not. An id is a UUID (version 8) made of the turn's id and the message's number in the turn, so it is the same
wherever the message is shown, and leads back to it. A timestamp is UTC in Python's own form.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct

from parley.core.pieces import channel_text
from parley.core.turn import Turn, TurnError

HUMAN, BOT = "Human: ", "Bot: "
NAME_CHARS = 100
EXPIRED = "Session expired or does not exist"

# The number of the answer among a turn's messages; what it answers counts from 1.
ANSWER = 0
MESSAGE_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f])00-([0-9a-f]{12})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What a turn that was stopped before it said anything is told as.
WITHDRAWN = TurnError("cancelled", "the message was withdrawn before it was answered")


class Sent(Struct, frozen=True, forbid_unknown_fields=True, tag="message", tag_field="type"):
    """A message as JSON, with the client's name for it: the idempotency key."""

    text: str
    client_msg_id: str


_sent = msgspec.json.Decoder(Sent)


def parse_message(text: str) -> tuple[str, str | None]:
    """What a client says in one frame, and the idempotency key, if it gives one.

    Only an object of exactly the fields of `Sent` is one; anything else is what somebody typed.
    """
    if text.lstrip(" \t\r\n").startswith("{"):
        try:
            sent = _sent.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return text, None
        return sent.text, sent.client_msg_id
    return text, None


def message_id(turn: str, number: int) -> str:
    """Name a message of a turn."""
    return f"{turn[:8]}-{turn[8:12]}-8{turn[12:15]}-8{turn[15]}00-{number:012x}"


def parse_message_id(text: str) -> tuple[str, int] | None:
    """The turn and the number of a message; None when it is no id of ours."""
    match = MESSAGE_ID.fullmatch(text)
    return None if match is None else ("".join(match.groups()[:4]), int(match[5], 16))


def timestamp(milliseconds: int, microseconds: int = 0) -> str:
    """A moment as the seed writes it: ``2026-11-21 05:45:25.085343``, always UTC."""
    moment = EPOCH + timedelta(milliseconds=milliseconds, microseconds=microseconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def history(turn: Turn, index: int) -> Iterator[dict[str, Any]]:
    """The messages of a turn, as far as there are any.

    Args:
        index: the turn's place among all of its conversation.
    """
    for number, message in enumerate(turn.request.input, ANSWER + 1):
        yield {
            "id": message_id(turn.id, number),
            "msg": HUMAN + message.content,
            "timestamp": timestamp(turn.created_at, _tick(index, False)),
        }
    if turn.outcome is not None:
        answer = reply(turn, index)
        yield {**answer, "msg": BOT + answer["msg"]}


def reply(turn: Turn, index: int) -> dict[str, Any]:
    """The answer of a turn that has ended, as a frame. One that failed says so, and has an `error` too."""
    outcome = turn.outcome
    assert outcome is not None
    text = channel_text(outcome.body, outcome.pieces)
    error = outcome.error if outcome.status == "failed" else None
    if outcome.status == "cancelled" and not text:
        error = WITHDRAWN
    frame: dict[str, Any] = {
        "id": message_id(turn.id, ANSWER),
        "msg": "\n\n".join(filter(None, (text, sentence(error) if error else ""))),
        "timestamp": timestamp(outcome.ended_at, _tick(index, True)),
    }
    if error is not None:
        frame["error"] = error
    return frame


def refusal(name: str, milliseconds: int, error: dict[str, Any]) -> dict[str, Any]:
    """The frame that tells that a message was not taken; `error` is the object of the usual envelope."""
    return {"id": name, "msg": error["message"], "timestamp": timestamp(milliseconds), "error": error}


def session(token: str, name: str, started_at: float, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A session, with everything that was said in it."""
    started = timestamp(0, round(started_at * 1_000_000))
    return {"token": token, "messages": messages, "name": name, "session_start": started}


def detail(what: Any) -> dict[str, Any]:
    """An error, in the form of the seed's framework."""
    return {"detail": what}


def missing(name: str, where: Literal["query", "body"] = "query") -> dict[str, Any]:
    """The error for a parameter that must be there."""
    return detail([{"type": "missing", "loc": [where, name], "msg": "Field required", "input": None}])


def bad_name(name: str) -> str:
    """Why somebody cannot be called this; empty: they can."""
    if not name.strip() or "\0" in name:
        return "Enter a valid name"
    return f"Enter a name of at most {NAME_CHARS} characters" if len(name) > NAME_CHARS else ""


def sentence(error: TurnError) -> str:
    """Why there is no answer, for people."""
    return f"There is no answer: {error.message.strip().rstrip('.')}."


def _tick(index: int, answer: bool) -> int:
    """Microseconds that set messages of one millisecond apart, in the order they stand in."""
    return (2 * index + answer) % 1000
