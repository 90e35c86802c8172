"""The life of a turn in the hands of its worker: window -> stream -> append -> final, top to bottom."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Literal

from parley.core.errors import Unavailable
from parley.core.limits import Limits, Timing
from parley.core.message import Transcript
from parley.core.pieces import Piece, channel_text
from parley.core.reply import Reply
from parley.core.turn import Status, TurnError
from parley.models.model import Finish, Model, ModelError, Waiting
from parley.models.registry import Models
from parley.store.appender import Appender
from parley.store.runs import Fenced, Grant, Offset, Runs
from parley.wire.record import encode_extra
from parley.worker.brief import Assistants, settle, transcript

log = logging.getLogger(__name__)

# How a model's finish_reason ends a turn; what is not here completes it.
INCOMPLETE = frozenset({"length", "content_filter"})

# How long a worker goes on generating without being able to renew its lease. Nobody can take the turn over while
# the store is away, and the fence keeps a worker that was cut off from it alone from doing harm.
BLIND = 30.0

Interruption = Literal["lost", "drain", "upstream_stalled", "turn_timeout"]


class TurnRun:
    """One turn being answered. Run it once, as a task of its own.

    Args:
        ended: called when the turn was ended by us.
    """

    def __init__(
        self,
        grant: Grant,
        runs: Runs,
        appender: Appender,
        models: Models,
        assistants: Assistants,
        ended: Callable[[], None],
        timing: Timing,
        limits: Limits,
    ) -> None:
        self.grant = grant
        self._runs = runs
        self._appender = appender
        self._models = models
        self._assistants = assistants
        self._ended = ended
        self._timing = timing
        self._limits = limits
        self._task: asyncio.Task[None] | None = None
        self._interruption: Interruption | None = None
        self._heeded = False
        self._began = self._progress = self.renewed = time.monotonic()
        self._streaming = False  # a first piece has come
        self._ending = False  # the model is done: only the store is waited for
        self._place: str | None = None  # the model whose place we hold, or wait for
        self._open(regenerate=False)

    def _open(self, *, regenerate: bool) -> None:
        partial = self.grant.partial
        self._reply = Reply(partial.body, partial.pieces, partial.generation, regenerate=regenerate)
        self._writing = self._appender.write(self.grant, self._reply, lambda: self.interrupt("lost"))

    async def run(self) -> None:
        """Answer the turn and end it, whatever happens; or leave it to others when it is not ours any more."""
        self._task = asyncio.current_task()
        assert self._task is not None
        try:
            await self._answer()
        except asyncio.CancelledError:
            if self._interruption is None:
                raise
            self._heeded = True
            self._task.uncancel()
            await self._interrupted(self._interruption)
        except Fenced:
            pass
        except ModelError as error:
            await self._end("failed", error=TurnError(error.code, error.message))
        except Unavailable:
            log.warning("turn %s of %s left: the store is away", self.grant.turn.id, self.grant.claim.conversation)
        except Exception:
            log.exception("turn %s of %s failed", self.grant.turn.id, self.grant.claim.conversation)
            await self._end("failed", error=TurnError("worker_error", "The worker failed on this turn."))
        finally:
            await self._leave_place()

    def interrupt(self, why: Interruption) -> None:
        """Make the turn stop from outside; the first reason counts.

        May be called again: the Redis client can swallow a cancellation that comes while it loses its connection.
        """
        if self._task and not self._task.done() and not self._heeded:
            self._interruption = self._interruption or why
            self._task.cancel()

    async def tend(self) -> None:
        """Keep the lease, as long as the turn makes progress; called every quarter of a lease."""
        now = time.monotonic()
        silence = self._timing.stall if self._streaming else self._timing.first_token
        if now - self._began > self._timing.turn and not self._ending:
            self.interrupt("turn_timeout")
        elif now - self._progress > silence and not self._ending:
            self.interrupt("upstream_stalled")
        elif now - self.renewed > BLIND:
            self.interrupt("lost")
        try:
            if self._place:
                await self._runs.take_slot(self._place, self.grant.fence, self._models.get(self._place).concurrency)
            if await self._runs.renew(self.grant, patience=self._timing.lease / 4):
                self.renewed = now
            else:
                self.interrupt("lost")
        except Unavailable as error:
            if error.code == "storage_unavailable":
                self.renewed = now  # it is there and refuses to write: nobody can take the turn over either

    async def _answer(self) -> None:
        brief = settle(self.grant, self._assistants)
        model = self._models.get(brief.model)
        given = await transcript(self._runs, self.grant, brief)
        await self._take_place(model)
        partial = self.grant.partial
        said = channel_text(partial.body, partial.pieces)
        # A partial answer is never continued behind or inside a block of reasoning or a call.
        plain = "r" not in partial.pieces and "t" not in partial.pieces
        continues = model.recovery == "continue" and bool(said) and plain
        if continues:
            try:
                await self._stream(model, Transcript(given.messages, given.parameters, said))
            except ModelError as error:
                if error.code != "continue_refused":
                    raise
                continues = False
            else:
                return
        self._open(regenerate=True)
        await self._stream(model, given)

    async def _stream(self, model: Model, given: Transcript) -> None:
        finish = Finish()
        async with contextlib.aclosing(model.answer(given)) as answer:
            async for item in answer:
                self._progress = time.monotonic()
                if isinstance(item, Piece):
                    self._streaming = True
                    await self._add(item)
                    if self._reply.length > self._limits.reply_bytes:
                        finish = Finish("length")
                        break
                elif isinstance(item, Waiting):
                    await self._runs.delay(self.grant, item.reason, item.seconds)
                    self._progress += item.seconds
                else:
                    finish = item
        await self._end("incomplete" if finish.reason in INCOMPLETE else "completed", finish=finish, model=model.name)

    async def _add(self, piece: Piece) -> None:
        offset = self._reply.add(piece)
        if offset is not None:
            await self._rewind(offset)
        elif not self._reply.quiet:
            self._appender.notify(self._writing)

    async def _rewind(self, offset: int) -> None:
        await self._appender.hold(self._writing)
        while True:
            try:
                generation = await self._runs.rewind(self.grant, self._reply.generation, offset)
                break
            except Offset as shorter:  # the store lost what it had acknowledged
                offset = shorter.length
        self._reply.rewound(offset, generation)
        self._appender.release(self._writing)

    async def _end(
        self, status: Status, *, finish: Finish | None = None, error: TurnError | None = None, model: str = ""
    ) -> None:
        self._ending = True
        if finish is not None:
            offset = self._reply.ending()
            if offset is not None:
                await self._rewind(offset)
        await self._appender.hold(self._writing)
        extra = encode_extra(
            error=error,
            usage=finish.usage if finish else None,
            model=(finish.model if finish else "") or model,
            finish_reason=finish.reason if finish else "",
        )
        reply = self._reply
        try:
            while True:
                pieces = [part for run in reply.unsent() for part in run]
                try:
                    await self._runs.final(self.grant, reply.generation, reply.sent, status, extra, [*pieces])
                    break
                except Offset as elsewhere:
                    if elsewhere.length > reply.length:
                        return
                    reply.sent = elsewhere.length
        except Fenced:
            return
        self._ended()

    async def _interrupted(self, why: Interruption) -> None:
        match why:
            case "lost":
                await self._appender.hold(self._writing)
            case "drain":
                await self._appender.hold(self._writing)
                with contextlib.suppress(Unavailable):
                    await self._runs.handoff(self.grant)
            case "upstream_stalled":
                await self._end("failed", error=TurnError(why, "The model stopped answering."))
            case "turn_timeout":
                await self._end("failed", error=TurnError(why, "The reply took too long."))

    async def _take_place(self, model: Model) -> None:
        """Wait for one of the upstream's places, when it has only so many."""
        if not model.concurrency:
            return
        self._place = model.name
        while not await self._runs.take_slot(model.name, self.grant.fence, model.concurrency):
            self._progress = time.monotonic()
            await asyncio.sleep(random.uniform(0.02, 0.06))

    async def _leave_place(self) -> None:
        if self._place:
            with contextlib.suppress(Unavailable):
                await self._runs.free_slot(self._place, self.grant.fence)
