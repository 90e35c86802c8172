"""The two seeds' own stored forms, as they lie in old databases, and the turns they become.

The course keeps a list of messages, each ``role:content`` or, in older code, a JSON object with these two.
The tutorial keeps a session: ``{"token", "name", "session_start", "messages": [{"id", "msg", "timestamp"}]}``, where a
message begins with ``Human: `` or ``Bot: ``.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from parley.core import ids
from parley.core.about import title_of
from parley.core.message import Message, Role
from parley.core.turn import ROOT, Outcome, Private, Request, Turn, TurnError
from parley.wire.seeds import BOT, HUMAN, NAME_CHARS

ROLES: tuple[Role, ...] = ("system", "user", "assistant")

# What became of a message that nobody answered before it was imported.
NOT_ANSWERED = TurnError("not_answered", "it was never answered where it was said")


class Said(Struct, frozen=True):
    """A message and when it was said, in unix milliseconds."""

    message: Message
    at: int


class OldSession(Struct, frozen=True):
    """A session of the tutorial. `started` is in unix seconds; `unread` counts messages that make no sense."""

    name: str
    started: float
    said: tuple[Said, ...]
    unread: int


def parse_item(item: bytes) -> Message | None:
    """A message of the course, in either form; None: it is none."""
    try:
        text = item.decode()
    except UnicodeDecodeError:
        return None
    role, content = _object(text) if text.lstrip().startswith("{") else _line(text)
    return next((Message(known, content) for known in ROLES if known == role), None)


def _line(text: str) -> tuple[str, str]:
    role, _, content = text.partition(":")
    return role, content


def _object(text: str) -> tuple[Any, str]:
    try:
        found = json.loads(text)
        role, content = found["role"], found["content"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, ""
    # A form's answers were stored as they came.
    return role, content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def parse_session(data: bytes, now: int) -> OldSession | None:
    """A session of the tutorial; None: it is none.

    Args:
        now: for what has no time of its own, in unix milliseconds.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and len(found) == 1:  # how JSON.GET shows the root for a path that begins with $
        found = found[0]
    if not isinstance(found, dict) or not isinstance(found.get("messages"), list) or "token" not in found:
        return None
    said = [_said(each, now) for each in found["messages"]]
    name = "".join(letter for letter in str(found.get("name") or "") if letter.isprintable())[:NAME_CHARS]
    return OldSession(
        name.strip() or "?",
        _seconds(found.get("session_start"), now),
        tuple(each for each in said if each is not None),
        sum(each is None for each in said),
    )


def _said(message: Any, now: int) -> Said | None:
    text = message.get("msg") if isinstance(message, dict) else None
    if not isinstance(text, str):
        return None
    at = int(_seconds(message.get("timestamp"), now) * 1000)
    if text.startswith(BOT.strip()):
        return Said(Message("assistant", text.removeprefix(BOT.strip()).removeprefix(" ")), at)
    return Said(Message("user", text.removeprefix(HUMAN.strip()).removeprefix(" ")), at)


def _seconds(text: Any, now: int) -> float:
    """A time as the tutorial writes it, which is that of its machine without saying so: taken for UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return now / 1000
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def instructions_of(said: Sequence[Said]) -> tuple[str, Sequence[Said]]:
    """What a conversation that begins with a message of the system says of itself, and the rest of it."""
    if said and said[0].message.role == "system":
        return said[0].message.content, said[1:]
    return "", said


def title(said: Iterable[Said]) -> str:
    """A title for it: what a user said first."""
    return title_of(next((each.message.content for each in said if each.message.role == "user"), ""))


def turns(conversation: str, said: Iterable[Said]) -> Iterator[tuple[Turn, Private]]:
    """The turns of a conversation: each what was said up to an answer, and the answer. The same again every time."""
    asked: list[Said] = []
    parent = ROOT
    number = 0
    for each in (*said, None):
        if each is not None and each.message.role != "assistant":
            asked.append(each)
            continue
        if each is None and not asked:
            return
        turn = ids.turn_id(conversation, f"imported {number}")
        yield _turn(turn, parent, asked, each), Private()
        asked, parent, number = [], turn, number + 1


def _turn(turn: str, parent: str, asked: Sequence[Said], answer: Said | None) -> Turn:
    created = asked[0].at if asked else answer.at if answer else 0
    ended = answer.at if answer else asked[-1].at
    body = answer.message.content if answer else ""
    outcome = Outcome(
        "completed" if answer else "failed",
        body=body,
        pieces=str(len(body.encode())) if body else "",
        generation=1 if answer else 0,
        started_at=created if answer else 0,
        ended_at=ended,
        error=None if answer else NOT_ANSWERED,
    )
    request = Request(tuple(each.message for each in asked))
    return Turn(turn, parent, created, request, outcome.status, outcome)
