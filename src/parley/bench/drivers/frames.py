"""The native protocol's frames, as far as the load client reads them."""

from typing import Any

import msgspec
from msgspec import Struct

from parley.bench.checker import Reply, Wrong
from parley.bench.drivers.base import Refused
from parley.bench.http import Connection, Failed, Origin


class Frame(Struct):
    """A frame; what is not named here is passed over."""

    type: str
    turn: str = ""
    text: str = ""
    channel: str = "text"
    status: str = ""
    error: dict[str, Any] | None = None
    retry_after: float | None = None


FRAME = msgspec.json.Decoder(Frame)


class Taking:
    """Feeds a reply with the frames of one turn: the next that is queued.

    Args:
        watching: somebody else says it, so that no receipt will come.
    """

    __slots__ = ("_ended", "_reply", "accepted_at", "turn")

    def __init__(self, reply: Reply, *, watching: bool = False) -> None:
        self._reply = reply
        self._ended = False
        self.accepted_at = reply.asked_at if watching else 0.0
        self.turn = ""

    @property
    def complete(self) -> bool:
        """Nothing more is to come. The receipt waits for the disk, so text may well overtake it."""
        return self._ended and self.accepted_at > 0

    def take(self, frame: Frame, now: float) -> None:
        """One frame.

        Raises:
            Refused, Failed, Wrong: see `Driver.turn`.
        """
        kind = frame.type
        if kind == "delta":
            if frame.channel == "text" and frame.turn == self.turn:
                self._reply.take(frame.text, now)
        elif kind == "queued":
            self.turn = self.turn or frame.turn
        elif kind == "receipt":
            self.turn, self.accepted_at = frame.turn, now
        elif kind == "end" and frame.turn == self.turn:
            if frame.status not in ("completed", "incomplete"):
                raise Failed(f"the reply {frame.status}: {(frame.error or {}).get('message', '')}")
            self._ended = True
        elif kind == "rewind" and frame.turn == self.turn:
            raise Wrong("the reply was withdrawn in part")
        elif kind == "error":
            told = f"{(frame.error or {}).get('code')}: {(frame.error or {}).get('message')}"
            raise Failed(told) if frame.retry_after is None else Refused(told)
        elif kind == "bye":
            raise Failed("the server goes away")


async def make_conversation(origin: Origin) -> str:
    """A new conversation's id. Raises `Failed`."""
    http = await Connection.open(origin)
    try:
        return str((await http.json("POST", "/api/conversations", {}))["id"])
    finally:
        http.close()


async def stored(origin: Origin, conversation: str, turn: str) -> str:
    """The text of a reply as the server keeps it. Raises `Failed`."""
    http = await Connection.open(origin)
    try:
        return str((await http.json("GET", f"/api/conversations/{conversation}/turns/{turn}"))["text"])
    finally:
        http.close()


async def delete(origin: Origin, conversation: str) -> None:
    """Delete a conversation. Raises `Failed`."""
    http = await Connection.open(origin)
    try:
        await http.json("DELETE", f"/api/conversations/{conversation}")
    finally:
        http.close()
