"""A telling: one turn's reply told to somebody who can only be told more, as text, up to its end or to a deadline.

It is folded from the log like everything else. What was told is never taken back: where the log withdraws it (a
rewind), that is said, and the reply is told anew.
"""

import asyncio
import contextlib
from collections.abc import Callable

from parley.core import event
from parley.core.errors import Gone, NotFound, ParleyError
from parley.core.pieces import CHANNELS, cut
from parley.core.reply import Runs
from parley.core.turn import TurnError
from parley.server.auth import Principal
from parley.server.follower import Follower
from parley.server.hub import Hub
from parley.server.outbox import Frame, Outbox
from parley.server.service import Service
from parley.wire import frames, serverless
from parley.wire.commands import Say
from parley.wire.serverless import Mark, Rendering

DELETED = TurnError("conversation_deleted", "the conversation was deleted")


class Telling:
    """One turn, from the beginning or from a mark. `ended`: there is nothing to wait for any more.

    `begin` or `resume` comes first, then `advance` and `take` in turns, `close` in any case.
    """

    def __init__(self, hub: Hub, service: Service, who: Principal, conversation: str) -> None:
        self._hub = hub
        self._service = service
        self._who = who
        self.conversation = conversation
        self.turn = ""
        self.ended = False
        self.away = False  # the server goes: whoever listens must come back
        self._outbox: Outbox = hub.admit(who)
        self._follower: Follower | None = None
        self._restart(Runs(), 1)
        self._told = 0  # characters of the rendering
        self._apart = ""  # what is said besides the reply, before the rest of it

    async def begin(self, body: Say, key: str | None) -> None:
        """Say something and listen.

        Raises:
            ParleyError: it was not accepted.
        """
        await self._hub.listen(self.conversation)
        receipt = await self._service.say(self._who, self.conversation, body, key)
        self.turn = receipt["turn"]
        cursor = receipt["cursor"] if not receipt["replayed"] else await self._load()
        await self._follow(cursor)

    async def resume(self, turn: str, mark: Mark | None) -> None:
        """Listen to a turn that was begun before, from a mark on.

        Raises:
            ParleyError: it is not there any more.
        """
        self.turn = turn
        await self._hub.listen(self.conversation)
        cursor = await self._load()
        if mark is not None and mark.generation == self._generation:
            self._told = min(mark.told, len(self._text))
        elif mark is not None and mark.told:
            self._apart = serverless.ANEW
        await self._follow(cursor)

    @property
    def mark(self) -> Mark:
        """How far it was told."""
        return Mark(self.turn, self._generation, self._told)

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._apart) or self._told < len(self._text)

    def take(self) -> str:
        """What is to be told next; empty: nothing yet."""
        text = self._apart + self._text[self._told :]
        self._apart, self._told = "", len(self._text)
        return text

    async def advance(self, seconds: float) -> None:
        """Wait at most so long for something to happen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._take()
                while self._outbox.waiting:
                    await self._take()

    def on_stall(self, call: Callable[[], object]) -> None:
        """Have this called when whoever is told does not listen."""
        self._outbox.stalled = call

    def close(self) -> None:
        """Listen no more."""
        if self._follower is not None:
            self._hub.leave(self._follower)
        self._hub.disconnect(self._outbox)

    async def _take(self) -> None:
        frame = await self._outbox.take()
        if frame is None:
            self.away = True
        else:
            await self._apply(frame)

    # The fold.

    async def _follow(self, cursor: str) -> None:
        if not self.ended:
            self._follower = await self._hub.follow(self.conversation, self._outbox, after=cursor)

    async def _load(self) -> str:
        """Read the reply as it stands. Replies the cursor to go on from."""
        conversations = self._service.conversations
        snapshot = await conversations.snapshot(self.conversation, turns=0)
        found = await conversations.turn(self.conversation, self.turn)
        if found is None:
            raise NotFound("turn_not_found", "No such turn.")
        outcome, running = found[0].outcome, snapshot.running
        runs, generation = Runs(), 1
        if outcome is not None:
            stands, generation = (outcome.body, outcome.pieces), outcome.generation or 1
        elif running is not None and running.turn == self.turn:
            stands, generation = (running.body, running.pieces), running.generation
        else:
            stands = ("", "")
        for piece in cut(*stands):
            runs.add(piece.text, piece.channel)
        self._replace(runs, generation)
        if outcome is not None:
            self._end(outcome.status, outcome.error)
        return snapshot.cursor

    async def _apply(self, frame: Frame) -> None:
        if frame.kind == "deleted":
            self._end("failed", DELETED)
        elif frame.kind == "snapshot":
            await self._reload()
        elif frame.turn == self.turn and frame.kind in ("delta", "rewind", "end"):
            happened = frames.decode_event(frame.data)
            if isinstance(happened, event.Delta):
                await self._add(happened)
            elif isinstance(happened, event.Rewound):
                self._replace(beginning(self._runs, happened.offset), happened.gen)
            elif isinstance(happened, event.Ended):
                self._end(happened.status, happened.error)

    async def _reload(self) -> None:
        try:
            await self._load()
        except (NotFound, Gone):
            self._end("failed", DELETED)
        except ParleyError:
            self.away = True

    async def _add(self, delta: event.Delta) -> None:
        have = len(self._runs.body)
        if delta.gen > self._generation or delta.offset > have:
            await self._reload()
        elif delta.gen == self._generation:
            # What a snapshot told already comes again behind it.
            text = delta.text.encode()[have - delta.offset :].decode()
            self._runs.add(text, delta.channel)
            self._text += self._rendering.add(text, delta.channel)

    def _restart(self, runs: Runs, generation: int) -> None:
        self._runs, self._generation = runs, generation
        self._rendering = Rendering()
        self._text = "".join(self._rendering.add(run.decode(), CHANNELS[letter]) for letter, run in runs.since(0))

    def _replace(self, runs: Runs, generation: int) -> None:
        told = self._text[: self._told]
        self._restart(runs, generation)
        if not self._text.startswith(told):
            self._apart, self._told = serverless.ANEW, 0

    def _end(self, status: str, error: TurnError | None) -> None:
        if self.ended:
            return
        self.ended = True
        self._text += self._rendering.end()
        if status == "failed":
            said = serverless.failure(error.message if error else "the reply failed")
            self._text += f"\n\n{said}" if self._text else said
        elif status == "cancelled":
            self._text += serverless.STOPPED
        elif status == "incomplete":
            self._text += serverless.CUT


def beginning(runs: Runs, size: int) -> Runs:
    """The first so many bytes of runs."""
    kept, at = Runs(), 0
    for letter, run in runs.since(0):
        kept.add(run[: max(0, size - at)].decode(), CHANNELS[letter])
        at += len(run)
    return kept
