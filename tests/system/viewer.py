"""A viewer of the native protocol that believes nothing: it refuses any lost, repeated or reordered character."""

import asyncio
import contextlib
import json
import random
import time
from typing import Any

import aiohttp
import msgspec

from parley.core import cursor as cursors
from parley.core.event import Event
from parley.core.turn import TERMINAL_STATUSES, Request
from parley.core.view import TurnView, View, Violation

_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Refused(OSError):
    """The store is away just now: come back."""


def takes_back(old: TurnView, new: TurnView | None) -> bool:
    """Whether a snapshot takes back what was shown of a turn; another text of the same answer is a violation."""
    if new is None:
        return True
    if old.status in TERMINAL_STATUSES:
        return (old.status, old.body) != (new.status, new.body)
    if new.gen != old.gen or new.body.startswith(old.body):
        return False
    if not old.body.startswith(new.body):
        raise Violation(f"a snapshot changes a text: {old.body[-40:]!r}")
    return True


class Viewer:
    """Folds the frames of one conversation, over however many connections."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.view = View()
        self.started = False
        self.violations: list[str] = []
        self.snapshots = self.frames = self.connections = self.refusals = 0
        self.rollbacks = 0  # turns of which something was taken back: only a killed Redis may cause that
        self.last_delta: dict[str, float] = {}
        self.gaps: list[float] = []  # seconds from a turn's last text before a takeover to its first text behind it
        self._frozen: dict[str, float] = {}

    @property
    def cursor(self) -> str | None:
        return self.view.cursor if self.started else None

    def take(self, frame: dict[str, Any]) -> None:
        """Fold one frame."""
        try:
            if frame["type"] == "snapshot":
                self._restore(frame)
            elif frame["type"] == "error":
                if frame["error"]["code"] != "store_unreachable":
                    raise Violation(str(frame))
                self.refusals += 1
                raise Refused
            elif "cursor" in frame and frame["type"] != "following":
                self._apply(frame)
        except Violation as violation:
            self.violations.append(f"{self.name}: {violation}")

    def _apply(self, frame: dict[str, Any]) -> None:
        cursor = frame["cursor"]
        if cursors.sequence(cursor) <= cursors.sequence(self.view.cursor):
            raise Violation(f"{frame} behind {self.view.cursor}")
        if cursors.sequence(cursor) != cursors.sequence(self.view.cursor) + 1:
            raise Violation(f"a gap before {frame}, standing at {self.view.cursor}")
        self.view.apply(cursor, self.view.cursor, _event.decode(json.dumps(frame)))
        self.frames += 1
        turn = frame.get("turn", "")
        if frame["type"] == "takeover":
            self._frozen[turn] = self.last_delta.get(turn, 0.0)
        elif frame["type"] == "delta":
            now = time.monotonic()
            since = self._frozen.pop(turn, 0.0)
            if since:
                self.gaps.append(now - since)
            self.last_delta[turn] = now

    def _restore(self, frame: dict[str, Any]) -> None:
        self.snapshots += 1
        turns: dict[str, TurnView] = {}
        for shown in frame["turns"]:
            request = msgspec.convert(shown["request"], Request)
            text = shown["text"].encode()
            if len(text) != shown["length"]:
                raise Violation(f"a snapshot of {shown['length']} bytes shows {len(text)}")
            turns[shown["turn"]] = TurnView(shown["parent"], request, shown["status"], shown["gen"], text)
        self.rollbacks += sum(takes_back(old, turns.get(name)) for name, old in self.view.turns.items())
        self.view.turns = turns
        self.view.cursor = frame["cursor"]
        self.started = True


async def watch_by_socket(url: str, conversation: str, viewer: Viewer, rng: random.Random) -> None:
    """Follow over the WebSocket, for ever; leaves and comes back with its cursor now and then."""
    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
                async with session.ws_connect(f"{url}/api/socket") as socket:
                    viewer.connections += 1
                    await socket.send_json(
                        {"type": "follow", "conversation": conversation, "turns": 200}
                        | ({"after": viewer.cursor} if viewer.cursor else {})
                    )
                    leave = time.monotonic() + rng.uniform(0.5, 6)
                    async for message in socket:
                        if message.type is not aiohttp.WSMsgType.TEXT:
                            break
                        frame = json.loads(message.data)
                        if frame["type"] == "following":
                            viewer.started = True
                        viewer.take(frame)
                        if time.monotonic() > leave:
                            break
            await asyncio.sleep(rng.uniform(0.01, 0.2))


async def watch_by_events(url: str, conversation: str, viewer: Viewer, rng: random.Random) -> None:
    """Follow over Server-Sent Events, for ever, as an EventSource does."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
                headers = {"Last-Event-ID": viewer.cursor} if viewer.cursor else {}
                address = f"{url}/api/conversations/{conversation}/events?turns=200"
                async with session.get(address, headers=headers) as response:
                    assert response.status in (200, 503), await response.text()
                    viewer.connections += 1
                    leave = time.monotonic() + rng.uniform(0.5, 6)
                    async for line in response.content:
                        if line.startswith(b"data:") and response.status == 200:
                            viewer.take(json.loads(line[5:]))
                        if time.monotonic() > leave:
                            break
            await asyncio.sleep(rng.uniform(0.01, 0.2))
