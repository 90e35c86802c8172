"""Native frames: what WebSocket and SSE clients of Parley's own protocol are sent (docs/reference/protocol.md).

An entry of the log becomes a frame by putting the conversation and the cursor in front of the stored event's
fields: bytes in, bytes out, no parsing on the way.
"""

from typing import Any

import msgspec

from parley.core import cursor, ids
from parley.core.event import Entry, Event
from parley.core.pieces import channel_text
from parley.core.snapshot import Snapshot
from parley.core.turn import Turn

_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def decode_event(data: bytes) -> Event:
    """The event of an entry, as a value.

    Raises:
        msgspec.ValidationError: a kind of event this version does not know; skip it.
    """
    return _event.decode(data)


def parse_bell(payload: bytes) -> Entry:
    """The entry that a bell message carries: ``<cursor> <previous> <event>``."""
    cursor, previous, data = payload.split(b" ", 2)
    return Entry(cursor.decode(), previous.decode(), data)


def entry_frame(conversation: str, entry: Entry) -> bytes:
    """An entry as a frame."""
    return b'{"conversation":"%s","cursor":"%s",%s' % (
        conversation.encode(),
        entry.cursor.encode(),
        entry.data[1:],
    )


def encode(frame: dict[str, Any]) -> bytes:
    """Any other frame."""
    return _encoder.encode(frame)


def turn_body(turn: Turn, conversation: str, snapshot: Snapshot | None = None) -> dict[str, Any]:
    """A turn as clients see it, with as much of its reply as there is."""
    outcome = turn.outcome
    running = snapshot.running if snapshot and snapshot.running and snapshot.running.turn == turn.id else None
    body, pieces = "", ""
    if outcome:
        body, pieces = outcome.body, outcome.pieces
    elif running:
        body, pieces = running.body, running.pieces
    shown: dict[str, Any] = {
        "turn": turn.id,
        "response": ids.response_id(conversation, turn.id),
        "parent": turn.parent,
        "created_at": turn.created_at,
        "request": turn.request,
        "status": turn.status,
        "gen": running.generation if running else outcome.generation or 1 if outcome else 1,
        "length": len(body.encode()),
        "text": channel_text(body, pieces),
    }
    if "r" in pieces:
        shown["reasoning"] = channel_text(body, pieces, "reasoning")
    if "t" in pieces:
        shown["tool"] = channel_text(body, pieces, "tool")
    if outcome:
        shown |= {
            "started_at": outcome.started_at,
            "ended_at": outcome.ended_at,
            "attempts": outcome.attempts,
        }
        if outcome.lost:
            shown["takeovers"] = outcome.takeovers
        shown |= {"error": outcome.error, "usage": outcome.usage, "model": outcome.model}
    return shown


def conversation_body(snapshot: Snapshot) -> dict[str, Any]:
    """A conversation as clients see it, without its turns."""
    return {
        "id": snapshot.conversation,
        "object": "conversation",
        "created_at": snapshot.created_at,
        "updated_at": max(snapshot.created_at, cursor.milliseconds(snapshot.cursor)),
        "expires_at": snapshot.expires_at,
        **snapshot.about.public(),
        "turns": snapshot.total,
        "head": snapshot.head,
        "shared": snapshot.link,
        "status": "in_progress" if snapshot.running else "queued" if snapshot.waiting else "idle",
    }


def snapshot_frame(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as a frame: replace what you show by it, and go on from its cursor."""
    return {
        "type": "snapshot",
        "conversation": snapshot.conversation,
        "cursor": snapshot.cursor,
        "about": conversation_body(snapshot),
        "first": snapshot.first,
        "total": snapshot.total,
        "turns": [turn_body(turn, snapshot.conversation, snapshot) for turn in snapshot.turns],
        "waiting": snapshot.waiting,
    }
