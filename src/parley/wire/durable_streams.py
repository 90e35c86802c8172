"""Durable Streams, the reading side: offsets, cursors, frames (PROTOCOL.md of durable-streams; [n] is its section n).

The stream of a response is its events in JSON mode [9.1]. An offset is the number of the next event behind the
generation of the reply: where a takeover withdraws what was shown, the offsets behind it are gone, and others begin.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from parley.core.errors import Gone, InvalidRequest
from parley.wire.frames import encode

Mode = Literal["catch-up", "long-poll", "sse"]

OFFSET = re.compile(r"([0-9]{4})_([0-9]{10})")
CURSOR = re.compile(r"[0-9]{1,15}")
# Cursors count intervals of so many seconds from a day on [10.1]: 2024-10-09, in unix seconds.
INTERVAL = 20
EPOCH = 1_728_432_000


class Offset(Struct, frozen=True, order=True):
    """A position: the number of the next event, and the generation of the reply it belongs to."""

    generation: int
    number: int

    def __str__(self) -> str:
        return f"{self.generation:04d}_{self.number:010d}"


class Asked(Struct, frozen=True):
    """What a reader asks: from where, how, and the cursor it was given last (-1: none)."""

    offset: Offset | Literal["start", "now"]
    mode: Mode
    cursor: int = -1


class Part(Struct, frozen=True):
    """A part of a stream: where it begins and ends, and its messages as JSON.

    `up_to_date`: there was nothing behind it. `closed`: nor will there be.
    """

    start: Offset
    end: Offset
    messages: list[bytes]
    up_to_date: bool
    closed: bool

    @property
    def body(self) -> bytes:
        """Its messages as one array [9.1.5]."""
        return b"[" + b",".join(self.messages) + b"]"

    def etag(self, response: str) -> str:
        """Its entity tag: it changes when the stream is closed [10.1]."""
        return f'"{response}:{self.start}:{self.end}{":c" if self.closed else ""}"'

    def headers(self) -> dict[str, str]:
        """What is told about it in the head of an answer [5.6]."""
        found = {"stream-next-offset": str(self.end)}
        if self.up_to_date:
            found["stream-up-to-date"] = "true"
        if self.closed:
            found["stream-closed"] = "true"
        return found

    def frames(self, cursor: int) -> bytes:
        """The same as server-sent events: data, if there is any, and control [5.8]."""
        data = b"event: data\ndata: " + self.body + b"\n\n" if self.messages else b""
        control: dict[str, Any] = {"streamNextOffset": str(self.end)}
        if self.up_to_date:
            control["upToDate"] = True
        if self.closed:
            control["streamClosed"] = True
        else:
            control["streamCursor"] = str(cursor)
        return data + b"event: control\ndata: " + encode(control) + b"\n\n"


def read_query(query: Sequence[tuple[str, str]]) -> Asked:
    """What the query of an address asks; what is not known is ignored.

    Raises:
        InvalidRequest.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name in ("offset", "live", "cursor") and name in given:
            raise InvalidRequest("invalid_value", f"`{name}` stands twice.", param=name)
        given[name] = value
    live = given.get("live")
    if live not in (None, "long-poll", "sse"):
        raise InvalidRequest("invalid_value", "`live` must be long-poll or sse.", param="live")
    if live is not None and "offset" not in given:
        raise InvalidRequest("missing_parameter", "`offset` is missing; -1 is the start.", param="offset")
    cursor = given.get("cursor", "")
    if cursor and CURSOR.fullmatch(cursor) is None:
        raise InvalidRequest("invalid_cursor", "This is not a cursor.", param="cursor")
    mode: Mode = "long-poll" if live == "long-poll" else "sse" if live == "sse" else "catch-up"
    return Asked(_offset(given.get("offset", "-1")), mode, int(cursor) if cursor else -1)


def _offset(text: str) -> Offset | Literal["start", "now"]:
    if text == "-1":
        return "start"
    if text == "now":
        return "now"
    match = OFFSET.fullmatch(text)
    if match is None:
        raise InvalidRequest("invalid_offset", "This is not an offset of a stream.", param="offset")
    return Offset(int(match[1]), int(match[2]))


def start_of(asked: Offset | Literal["start", "now"], generation: int, opening: int, total: int) -> int:
    """The number of the event to begin with, in a stream as it stands.

    Args:
        generation: the reply's.
        opening: how many events come before the reply's own: they are the same in every generation.
        total: how many events there are.

    Raises:
        Gone: what the offset counted was withdrawn.
    """
    if asked == "start":
        return 0
    if asked == "now":
        return total
    assert isinstance(asked, Offset)
    if asked.number > total or (asked.generation != generation and asked.number > opening):
        raise withdrawn()
    return asked.number


def withdrawn() -> Gone:
    """The refusal to go on behind what is no more."""
    message = "A worker was lost and its successor answers otherwise: read the stream anew, from offset -1."
    return Gone("response_rewound", message, param="offset")


def next_cursor(given: int, now: float, jitter: int) -> int:
    """The cursor to give a reader: the number of the interval, but always beyond the one it has [10.1].

    Args:
        now: unix seconds.
        jitter: 1-3600 seconds, for a reader that is not behind.
    """
    interval = int(now - EPOCH) // INTERVAL
    return interval if given < interval else given + max(1, jitter // INTERVAL)
