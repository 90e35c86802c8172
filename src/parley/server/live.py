"""A response as it happens: what stands of it, then what comes, as events whose numbers are the same for everyone.

What comes is heard from the hub. A follower that cannot go on gives a snapshot in place of entries: then the state is
read anew, told from the start and skipped up to what was sent. What was sent is never contradicted: where a takeover
withdrew text that this stream has shown, the stream ends with an error that names the response.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator

from parley.core.errors import Gone, InvalidRequest, NotFound, Unavailable
from parley.core.event import Delta, Rewound
from parley.core.pieces import Piece, cut
from parley.core.turn import TERMINAL_STATUSES
from parley.server.auth import Principal
from parley.server.follower import Follower
from parley.server.lookup import Lookup
from parley.server.outbox import SLOW, UNAUTHENTICATED, Frame
from parley.server.parts import Parts
from parley.wire import frames
from parley.wire.openai.events import Event, Events, error_event, replay
from parley.wire.openai.response import Subject

# Seconds between looks at a store that is out of reach.
DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)


class Lost(Exception):
    """The stream cannot go on; the message is for its reader."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Live:
    """Follows one response. `open` it, read `events` or `wait` for its end, and `close` it whatever happens.

    Args:
        after: the number of the last event that is not to be sent; -1: all are sent.
    """

    def __init__(self, parts: Parts, who: Principal, conversation: str, turn: str, *, after: int = -1) -> None:
        self._hub = parts.hub
        self._conversations = parts.service.conversations
        self._lookup = Lookup(parts)
        self._quiet = parts.config.quiet_seconds
        self._conversation = conversation
        self._turn = turn
        self._next = after + 1  # the number of the next event to send
        # What the events told so far come to: whether a worker began, and how long which generation of the reply is.
        self._began, self._over = False, False
        self._generation, self._length = 1, 0
        self._body, self._pieces = "", ""
        self._opening = 0  # how many events precede the first piece
        self._follower: Follower | None = None
        self._clock = asyncio.get_running_loop().time
        self.outbox = self._hub.admit(who)

    async def open(self) -> None:
        """Begin to follow.

        Raises:
            NotFound, Gone, Unavailable.
        """
        await self._hub.listen(self._conversation)
        cursor = await self._load()
        if not self._over:
            self._follower = await self._hub.follow(self._conversation, self.outbox, after=cursor)

    def check_start(self) -> None:
        """Refuse to go on behind an event that may have been another one.

        Raises:
            InvalidRequest: `response_rewound`.
        """
        if self._next > 0 and self._generation > 1:
            message = "Text of this response was withdrawn after a worker was lost: it can only be read whole."
            raise InvalidRequest("response_rewound", message, param="starting_after")

    def close(self) -> None:
        """Follow no more."""
        if self._follower is not None:
            self._hub.leave(self._follower)
        self._hub.disconnect(self.outbox)

    @property
    def subject(self) -> Subject:
        """The response as it stood when it was last read."""
        return self._subject

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self._over

    @property
    def next(self) -> int:
        """The number of the next event."""
        return self._next

    @property
    def generation(self) -> int:
        """How often the reply began anew, from 1: the numbers behind the opening count events of this one only."""
        return self._generation

    @property
    def opening(self) -> int:
        """How many events precede the reply's own: they are the same in every generation."""
        return self._opening

    @property
    def _again_text(self) -> str:
        return f"Fetch {self._subject.response} again, from this event on or whole."

    async def events(self) -> AsyncIterator[Event | None]:
        """The events up to the response's end; None where silence is to be broken. The last one may be an error."""
        try:
            for event in self.standing():
                yield event
            async for batch in self.coming():
                for event in batch:
                    yield event
                if not batch:
                    yield None
        except Lost as lost:
            yield error_event(self._next, lost.code, lost.message)

    def standing(self) -> list[Event]:
        """The events that are there already; to be read once, before `coming`."""
        return list(self._fresh(self._told()))

    async def coming(self) -> AsyncIterator[list[Event]]:
        """The events behind those, as they come, up to the response's end; none where silence is to be broken.

        Raises:
            Lost.
        """
        spoke = self._clock()
        while not self._over:
            frame = await self._take()
            batch = list(self._fresh(await self._hear(frame)))
            if batch or frame.kind == "ping" or self._clock() - spoke >= self._quiet:
                spoke = self._clock()
                yield batch

    async def wait(self) -> Subject:
        """The response once it is over.

        Raises:
            Lost: this cannot be waited for here.
        """
        while not self._over:
            frame = await self._take()
            if frame.kind == "snapshot" or (frame.kind == "end" and frame.turn == self._turn):
                await self._load_or_lose()
        return self._subject

    async def _take(self) -> Frame:
        """The next frame of the outbox.

        Raises:
            Lost.
        """
        frame = await self.outbox.take()
        again = self._again_text
        if frame is None:
            closing = self.outbox.closing
            if closing is not None and closing.code == UNAUTHENTICATED:
                raise Lost("not_authenticated", "The session is over.")
            if closing is not None and closing.code == SLOW:
                raise Lost("too_slow", f"You read too slowly. {again}")
            raise Lost("stream_interrupted", again)
        if frame.kind == "bye":
            raise Lost("server_restarting", f"The server restarts. {again}")
        if frame.kind == "deleted":
            raise Lost("response_deleted", f"{self._subject.response} was deleted.")
        if frame.kind == "error":
            raise Lost("internal_error", again)
        return frame

    async def _hear(self, frame: Frame) -> Iterator[Event]:
        """The events that a frame comes to."""
        if frame.kind == "snapshot":
            return await self._reload()
        if frame.turn != self._turn:
            return iter(())
        match frame.kind:
            case "started":
                if not self._began:
                    self._began = True
                    return self._events.started()
            case "delta":
                return await self._add(frame)
            case "rewind":
                happened = frames.decode_event(frame.data)
                assert isinstance(happened, Rewound)
                if happened.gen > self._generation:
                    return await self._reload()
            case "end":
                return await self._end()
        return iter(())

    async def _add(self, frame: Frame) -> Iterator[Event]:
        delta = frames.decode_event(frame.data)
        assert isinstance(delta, Delta)
        if delta.gen < self._generation or (delta.gen == self._generation and delta.offset < self._length):
            return iter(())  # it stood in what was read
        if delta.gen != self._generation or delta.offset != self._length:
            return await self._reload()
        self._length += len(delta.text.encode())
        return self._events.piece(Piece(delta.text, delta.channel))

    async def _end(self) -> Iterator[Event]:
        generation, length, began = self._generation, self._length, self._began
        await self._load_or_lose()
        if self._over and (generation, length, began) == (self._generation, self._length, self._began):
            return self._events.ending(self._subject.turn)
        return self._again(generation, length)

    async def _reload(self) -> Iterator[Event]:
        generation, length = self._generation, self._length
        await self._load_or_lose()
        return self._again(generation, length)

    def _again(self, generation: int, length: int) -> Iterator[Event]:
        """Tell the state that was just read, behind one that was told before."""
        if self._generation != generation and length and self._next > self._opening:
            raise Lost(
                "response_rewound",
                f"The worker was lost and its successor answers otherwise: fetch {self._subject.response} whole.",
            )
        return self._told()

    async def _load_or_lose(self) -> None:
        for delay in DELAYS:
            try:
                await self._load()
            except (NotFound, Gone):
                raise Lost("response_deleted", f"{self._subject.response} was deleted.") from None
            except Unavailable:
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            else:
                return
        raise Lost("store_unreachable", f"The store is out of reach. {self._again_text}")

    async def _load(self) -> str:
        """Read the state; replies the cursor it goes on from."""
        # In this order: what the snapshot does not hold any more has an outcome by then.
        snapshot = await self._conversations.snapshot(self._conversation, turns=0)
        subject = await self._lookup.subject(self._conversation, self._turn)
        running = snapshot.running if snapshot.running and snapshot.running.turn == self._turn else None
        outcome = subject.turn.outcome
        self._subject = subject
        self._over = subject.turn.status in TERMINAL_STATUSES
        if outcome is not None:
            self._began = outcome.started_at > 0
            self._generation, self._body, self._pieces = outcome.generation or 1, outcome.body, outcome.pieces
        elif running is not None:
            self._began = True
            self._generation, self._body, self._pieces = running.generation, running.body, running.pieces
        else:
            self._began, self._generation, self._body, self._pieces = False, 1, "", ""
        self._length = len(self._body.encode())
        return snapshot.cursor

    def _told(self) -> Iterator[Event]:
        """The events of the state that was read last."""
        if self._over:
            yield from replay(self._subject)
            return
        self._events = Events(self._subject)
        yield from self._events.opening()
        self._opening = self._events.number
        if self._began:
            yield from self._events.started()
            self._opening = self._events.number
        for piece in cut(self._body, self._pieces):
            yield from self._events.piece(piece)

    def _fresh(self, events: Iterable[Event]) -> Iterator[Event]:
        """Those that were not sent yet."""
        for event in events:
            if event["sequence_number"] >= self._next:
                self._next = event["sequence_number"] + 1
                yield event
