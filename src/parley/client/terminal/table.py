"""A conversation as a line of a list."""

import time

import msgspec

from parley.client.terminal.clean import clean, json_line
from parley.client.terminal.names import short
from parley.client.values import Conversation

MARKS = {"in_progress": "●", "queued": "…"}
STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def line(conversation: Conversation, *, json: bool) -> str:
    """One line: the short id, whether it replies now, its age, turns and title; or the whole as JSON."""
    if json:
        return json_line(msgspec.json.encode(conversation))
    mark = MARKS.get(conversation.status, " ")
    title = clean(conversation.title).replace("\n", " ").replace("\t", " ") or "(no title)"
    age = ago(conversation.updated_at or conversation.created_at, time.time())
    return f"{mark} {short(conversation.id)}  {age:>4}  {conversation.turns:4}  {title}"


def ago(then: int, now: float) -> str:
    """How long ago a moment (unix ms) was: ``5m``, ``3h``, ``2d``."""
    seconds = max(0, int(now - then / 1000))
    for size, letter in STEPS:
        if seconds >= size:
            return f"{seconds // size}{letter}"
    return "now"
