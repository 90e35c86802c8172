"""Turn records as they stand in Redis (see store/scripts/lib/keys.lua), and back.

``<parent> <body hash> <accepted ms>\\n<request JSON>\\n<private JSON>`` and
``<closing fence>[ <mark>...]\\n<outcome JSON>``, where a mark is
the number of an item that was taken out of the conversation, or `r` for the response.
"""

import hashlib

import msgspec
from msgspec import Struct

from parley.core.turn import ROOT, Outcome, Private, Request, Turn, TurnError, Usage

NO_PARENT = "-"
WITHDRAWN = b"r"

_request = msgspec.json.Decoder(Request)
_private = msgspec.json.Decoder(Private)
_outcome = msgspec.json.Decoder(Outcome)
_encoder = msgspec.json.Encoder()


class _Extra(Struct, omit_defaults=True):
    error: TurnError | None = None
    usage: Usage | None = None
    model: str = ""
    finish_reason: str = ""


def encode_request(request: Request) -> bytes:
    """The public part of a record."""
    return _encoder.encode(request)


def encode_private(private: Private) -> bytes:
    """The part of a record that only its worker reads."""
    return _encoder.encode(private)


def body_hash(request: Request, private: Private, parent: str) -> str:
    """Tells whether two posts with one idempotency key say the same thing."""
    body = b"\n".join((_encoder.encode(request), _encoder.encode(private), parent.encode()))
    return hashlib.sha256(body).hexdigest()[:24]


def encode_extra(
    *, error: TurnError | None = None, usage: Usage | None = None, model: str = "", finish_reason: str = ""
) -> bytes:
    """More fields of an outcome, in the form lib/finish.lua takes: ``,"name":value…`` or nothing."""
    fields = _encoder.encode(_Extra(error, usage, model, finish_reason))[1:-1]
    return b"," + fields if fields else b""


def encode_outcome(outcome: Outcome) -> bytes:
    """A whole outcome, for turns that are copied (import.lua). `status` leads, as the scripts expect."""
    return b"\n" + _encoder.encode(outcome)


def encode_record(turn: Turn, private: Private) -> bytes:
    """A whole record, for turns that are copied (import.lua)."""
    parent = turn.parent or NO_PARENT
    head = f"{parent} {body_hash(turn.request, private, turn.parent)} {turn.created_at}"
    return b"\n".join((head.encode(), _encoder.encode(turn.request), _encoder.encode(private)))


def decode_turn(turn: bytes, record: bytes, outcome: bytes, running: bytes = b"") -> Turn:
    """A turn from its record; `running` is the id of the conversation's running turn, if any."""
    head, request, _ = record.split(b"\n", 2)
    parent, _, created = head.split(b" ")
    closing, _, ended = outcome.partition(b"\n")
    result = _outcome.decode(ended) if outcome else None
    marks = closing.split(b" ")[1:]
    return Turn(
        id=turn.decode(),
        parent=ROOT if parent == b"-" else parent.decode(),
        created_at=int(created),
        request=_request.decode(request),
        status=result.status if result else "in_progress" if turn == running else "queued",
        outcome=result,
        removed=frozenset(int(mark) for mark in marks if mark != WITHDRAWN),
        withdrawn=WITHDRAWN in marks,
    )


def decode_private(record: bytes) -> Private:
    """The private part of a record."""
    return _private.decode(record.split(b"\n", 2)[2])
