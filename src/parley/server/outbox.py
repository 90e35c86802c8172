"""An outbox: the frames one client has yet to be sent, bounded in bytes. A slow reader harms only itself."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from parley.core.event import Entry
from parley.wire import frames

# Close codes of docs/reference/protocol.md.
DONE = 1000
UNSUPPORTED = 1003
INTERNAL = 1011
RESTART = 1012
BAD_MESSAGES = 4400
UNAUTHENTICATED = 4401
NO_AUTH = 4408
SLOW = 4290
TOO_SLOW = "you read too slowly: come back with your cursor"
TOO_FAST = 4429

# The first byte of a text message in one piece.
TEXT = 0x81


class Frame:
    """A frame, encoded once for all who are sent it. `cursor` and `turn` are empty where it has none."""

    __slots__ = ("_event", "_message", "cursor", "data", "kind", "turn")

    def __init__(self, kind: str, data: bytes, cursor: str = "", turn: str = "") -> None:
        self.kind = kind
        self.data = data
        self.cursor = cursor
        self.turn = turn
        self._message: bytes | None = None
        self._event: bytes | None = None

    @property
    def text(self) -> str:
        """As text."""
        return self.data.decode()

    @property
    def message(self) -> bytes:
        """As a text message of a socket, down to the bytes on the wire (RFC 6455, section 5.2; servers do not mask)."""
        if self._message is None:
            size = len(self.data)
            if size < 126:
                head = struct.pack("!BB", TEXT, size)
            elif size < 65_536:
                head = struct.pack("!BBH", TEXT, 126, size)
            else:
                head = struct.pack("!BBQ", TEXT, 127, size)
            self._message = head + self.data
        return self._message

    @property
    def event(self) -> bytes:
        """As a server-sent event."""
        if self._event is None:
            name = b"id: %s\n" % self.cursor.encode() if self.cursor else b""
            self._event = b"%sevent: %s\ndata: %s\n\n" % (name, self.kind.encode(), self.data)
        return self._event


def entry_frame(conversation: str, entry: Entry) -> Frame:
    """The frame of an entry. Stored events begin ``{"type":"<kind>"``, those of a turn go on ``,"turn":"<id>"``."""
    data = entry.data
    end = data.index(b'"', 9)
    turn = data[end + 10 : end + 26].decode() if data[end + 1 : end + 10] == b',"turn":"' else ""
    return Frame(data[9:end].decode(), frames.entry_frame(conversation, entry), entry.cursor, turn)


def frame(kind: str, **fields: Any) -> Frame:
    """A frame that is not part of a log; fields that are None are left out."""
    body = {"type": kind, **{name: value for name, value in fields.items() if value is not None}}
    return Frame(kind, frames.encode(body))


class Close(Struct, frozen=True):
    """Why a connection is ended."""

    code: int
    reason: str = ""


class Outbox:
    """Frames on their way to one client, and how the connection is to end.

    Args:
        limit: bytes that may wait; a frame that does not fit closes the connection, unless nothing waits.

    `owner` and `token` say whose connection it is. `stalled` is called when the client reads too slowly, as it may
    not even take the news that it is closed. `direct`, where there is one, takes a frame at once as long as the
    connection does: no task is woken for it.
    """

    __slots__ = (
        "_bytes",
        "_frames",
        "_limit",
        "_room",
        "_waiter",
        "closing",
        "direct",
        "owner",
        "quiet",
        "sending",
        "stalled",
        "token",
    )

    def __init__(self, limit: int) -> None:
        self._frames: list[Frame] = []  # short, and mostly empty: an empty deque takes 624 bytes
        self._bytes = 0
        self._limit = limit
        self._waiter: asyncio.Future[None] | None = None  # who waits for a frame
        self._room: list[asyncio.Future[None]] = []  # who wait for room
        self.closing: Close | None = None
        self.quiet = 0  # seconds since a frame was put or taken, counted by the hub
        self.sending = False  # a frame was taken, and the next one not yet asked for
        self.owner = ""
        self.token = ""  # the session's, if it is one
        self.stalled: Callable[[], object] | None = None
        self.direct: Callable[[Frame], bool] | None = None

    def put(self, frame: Frame) -> None:
        """Send a frame; the connection is closed when the client is too far behind."""
        if self.closing is not None:
            return
        if self.direct is not None and not self._frames and not self.sending and self.direct(frame):
            self.quiet = 0
            return
        size = len(frame.data)
        if self._frames and self._bytes + size > self._limit:
            self._frames.clear()
            self._bytes = 0
            self.close(SLOW, TOO_SLOW)
            return
        self._frames.append(frame)
        self._bytes += size
        self.quiet = 0
        self._wake()

    def close(self, code: int, reason: str = "") -> None:
        """End the connection, behind what waits. The first call counts."""
        if self.closing is None:
            self.closing = Close(code, reason)
            self._wake()
            self._make_room()
            if code == SLOW and self.stalled is not None:
                self.stalled()

    @property
    def waiting(self) -> bool:
        """Whether a frame can be taken at once."""
        return bool(self._frames)

    async def take(self) -> Frame | None:
        """The next frame, once there is one; None: close."""
        self.sending = False
        while not self._frames:
            if self.closing is not None:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        frame = self._frames.pop(0)
        self._bytes -= len(frame.data)
        self.sending = True
        self.quiet = 0
        if self._room and self._bytes <= self._limit // 2:
            self._make_room()
        return frame

    async def fit(self, size: int) -> None:
        """Wait until so many bytes surely fit; returns at once when the connection is closing."""
        while self._frames and self._bytes + size > self._limit // 2 and self.closing is None:
            waiter = asyncio.get_running_loop().create_future()
            self._room.append(waiter)
            await waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _make_room(self) -> None:
        for waiter in self._room:
            if not waiter.done():
                waiter.set_result(None)
        self._room.clear()
