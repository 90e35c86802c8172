"""A viewer of the native protocol that believes nothing: no lost, repeated or reordered character escapes it."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import msgspec

from parley.chaos.flaw import Flaw, Kind
from parley.core import cursor as cursors
from parley.core.event import Event
from parley.core.turn import TERMINAL_STATUSES, Request
from parley.core.view import TurnView, View, Violation

_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)

# Seconds a viewer stays, and stays away, drawn evenly.
STAY = (0.5, 6.0)
AWAY = (0.01, 0.2)
# HTTP statuses that say: not now. A server that was stopped in mid-request finds that it came too slowly.
COME_BACK = (408, 429, 503)
# Flaws that one viewer tells of; the first says it all.
KEPT = 20


class Refused(OSError):
    """The store is away just now: come back."""


def takes_back(old: TurnView, new: TurnView | None, *, anew: bool) -> bool:
    """Whether a snapshot takes back what was shown of a turn. Raises `Violation` for another text of one answer.

    Args:
        anew: the model answers anew and Redis forgets: it may have forgotten a whole answer, and have another one now.
    """
    if new is None:
        return True
    if old.status in TERMINAL_STATUSES:
        return (old.status, old.body) != (new.status, new.body)
    if new.gen != old.gen or new.body.startswith(old.body):
        return False
    if not anew and not old.body.startswith(new.body):
        raise Violation(f"a snapshot changes a text: {old.body[-40:]!r}")
    return True


class Viewer:
    """Folds the frames of one conversation, over however many connections.

    Args:
        anew: a snapshot may hold another answer than was shown (`takes_back`).
    """

    def __init__(self, name: str, *, anew: bool = False) -> None:
        self.name = name
        self._anew = anew
        self.view = View()
        self.started = False
        self.flaws: list[Flaw] = []
        self.snapshots = self.frames = self.connections = self.refusals = 0
        self.outages = 0  # connections that failed
        self.rollbacks = 0  # turns of which something was taken back: only a hurt Redis may cause that
        self.last_delta: dict[str, float] = {}
        self.gaps: list[float] = []  # seconds from a turn's last text before a takeover to its first text behind it
        self.stops: list[float] = []  # the same by the log's clock: what a line or a viewer took is not in it
        self._frozen: dict[str, float] = {}
        self._written: dict[str, float] = {}  # when a turn's last text was written
        self._stopped: dict[str, float] = {}
        # Frames that came before the one that should, by number, and the flaw that this is.
        self._early: dict[int, dict[str, Any]] = {}
        self._gap = Flaw("lost", "")

    @property
    def cursor(self) -> str | None:
        """Where it goes on from."""
        return self.view.cursor if self.started else None

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Nobody to talk to, or somebody who cannot talk just now, is no flaw: come back."""
        try:
            yield
        except (TimeoutError, aiohttp.ClientError, OSError):
            self.outages += 1

    def connected(self) -> None:
        """A connection begins: what the last one did not bring in order is asked for again."""
        self.connections += 1
        self._early.clear()

    def ended(self, turn: str) -> bool:
        """Whether it has seen the end of a turn."""
        return turn in self.view.turns and self.view.turns[turn].status in TERMINAL_STATUSES

    def take(self, frame: dict[str, Any]) -> None:
        """Fold one frame. Raises `Refused`."""
        try:
            if frame["type"] == "snapshot":
                self._restore(frame)
            elif frame["type"] == "error":
                if frame["error"]["code"] != "store_unreachable":
                    raise Violation(str(frame))
                self.refusals += 1
                raise Refused
            elif "cursor" in frame and frame["type"] != "following":
                self._order(frame)
        except (Violation, msgspec.DecodeError) as error:
            self._note(self._kind(frame), str(error))

    def _order(self, frame: dict[str, Any]) -> None:
        number, here = cursors.sequence(frame["cursor"]), cursors.sequence(self.view.cursor)
        if number <= here:
            self._note("repeated", f"{frame} behind {self.view.cursor}")
        elif number > here + 1:
            if not self._early:
                self._gap = self._note("lost", f"a gap before {frame}, standing at {self.view.cursor}")
            self._early[number] = frame
        else:
            self._apply(frame)
            if self._early:
                self._gap.kind = "out of order"
            while (following := self._early.pop(cursors.sequence(self.view.cursor) + 1, None)) is not None:
                self._apply(following)

    def _apply(self, frame: dict[str, Any]) -> None:
        self.view.apply(frame["cursor"], self.view.cursor, _event.decode(json.dumps(frame)))
        self.frames += 1
        turn, written = frame.get("turn", ""), cursors.milliseconds(frame["cursor"]) / 1000
        if frame["type"] == "takeover":
            self._frozen[turn] = self.last_delta.get(turn, 0.0)
            self._stopped[turn] = self._written.get(turn, 0.0)
        elif frame["type"] == "delta":
            self._moved(turn)
            if since := self._stopped.pop(turn, 0.0):
                self.stops.append(written - since)
            self._written[turn] = written

    def _moved(self, turn: str) -> None:
        """There is more of its text than before."""
        now = time.monotonic()
        since = self._frozen.pop(turn, 0.0)
        if since:
            self.gaps.append(now - since)
        self.last_delta[turn] = now

    def _restore(self, frame: dict[str, Any]) -> None:
        self.snapshots += 1
        self._early.clear()
        turns: dict[str, TurnView] = {}
        for shown in frame["turns"]:
            request = msgspec.convert(shown["request"], Request)
            text = shown["text"].encode()
            if len(text) != shown["length"]:
                raise Violation(f"a snapshot of {shown['length']} bytes shows {len(text)}")
            turns[shown["turn"]] = TurnView(shown["parent"], request, shown["status"], shown["gen"], text)
        # A snapshot shows the newest turns; those before the first of them stand as they are.
        older = {name: self.view.turns[name] for name in list(self.view.turns)[: frame.get("first", 0)]}
        turns = {name: old for name, old in older.items() if name not in turns} | turns
        self.rollbacks += sum(
            takes_back(old, turns.get(name), anew=self._anew) for name, old in self.view.turns.items()
        )
        for name, old in self.view.turns.items():
            if name in turns and len(turns[name].body) > len(old.body):
                self._moved(name)
                # When that was written a snapshot does not say.
                self._written.pop(name, None)
                self._stopped.pop(name, None)
        self.view.turns = turns
        self.view.cursor = frame["cursor"]
        self.started = True

    def _kind(self, frame: dict[str, Any]) -> Kind:
        """Which promise a frame breaks that cannot be folded."""
        shown = self.view.turns.get(frame.get("turn", ""))
        if frame["type"] != "delta" or shown is None or shown.gen != frame.get("gen", shown.gen):
            return "wrong"
        offset = frame.get("offset", 0)
        return "repeated" if offset < len(shown.body) else "lost" if offset > len(shown.body) else "wrong"

    def _note(self, kind: Kind, what: str) -> Flaw:
        flaw = Flaw(kind, f"{self.name}: {what}")
        if len(self.flaws) < KEPT:
            self.flaws.append(flaw)
        return flaw


async def watch_by_socket(
    url: str,
    conversation: str,
    viewer: Viewer,
    rng: random.Random,
    stay: tuple[float, float] = STAY,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Follow over the WebSocket, for ever; leaves and comes back with its cursor now and then."""
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            with viewer.outage():
                async with session.ws_connect(f"{url}/api/socket") as socket:
                    viewer.connected()
                    await socket.send_json(
                        {"type": "follow", "conversation": conversation, "turns": 200}
                        | ({"after": viewer.cursor} if viewer.cursor else {})
                    )
                    leave = time.monotonic() + rng.uniform(*stay)
                    async for message in socket:
                        if message.type is not aiohttp.WSMsgType.TEXT:
                            break
                        frame = json.loads(message.data)
                        if frame["type"] == "following":
                            viewer.started = True
                        viewer.take(frame)
                        if time.monotonic() > leave:
                            break
            await asyncio.sleep(rng.uniform(*AWAY))


async def watch_by_events(
    url: str,
    conversation: str,
    viewer: Viewer,
    rng: random.Random,
    stay: tuple[float, float] = STAY,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Follow over Server-Sent Events, for ever, as an EventSource does."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        while True:
            with viewer.outage():
                cursor = {"Last-Event-ID": viewer.cursor} if viewer.cursor else {}
                address = f"{url}/api/conversations/{conversation}/events?turns=200"
                async with session.get(address, headers=cursor) as response:
                    if response.status not in (200, *COME_BACK):
                        raise RuntimeError(f"{address} answers {response.status}: {await response.text()}")
                    viewer.connected()
                    leave = time.monotonic() + rng.uniform(*stay)
                    async for line in response.content:
                        if line.startswith(b"data:") and response.status == 200:
                            viewer.take(json.loads(line[5:]))
                        if time.monotonic() > leave:
                            break
            await asyncio.sleep(rng.uniform(*AWAY))
