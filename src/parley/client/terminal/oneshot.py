"""One question, its answer, and an exit status."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from parley.client.client import AsyncClient
from parley.client.errors import model_error
from parley.client.reply import AsyncReply
from parley.client.terminal.clean import clean, json_line
from parley.client.terminal.options import Exit, Options
from parley.client.terminal.screen import screen
from parley.client.terminal.session import Session
from parley.client.terminal.show import footer, show
from parley.client.values import Snapshot, snapshot_decoder


class _Interrupts:
    """Ctrl-C: the first stops the reply, the second leaves at once."""

    def __init__(self) -> None:
        self.count = 0
        self.left = asyncio.Event()


@asynccontextmanager
async def _interrupts(stop: Callable[[], Awaitable[None]], *, at_once: bool) -> AsyncIterator[_Interrupts]:
    seen, loop = _Interrupts(), asyncio.get_running_loop()
    stops: list[asyncio.Task[None]] = []

    async def stopping() -> None:
        await stop()

    def interrupted() -> None:
        seen.count += 1
        if seen.count == 1 and not at_once:
            stops.append(asyncio.create_task(stopping()))
        else:
            seen.left.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield seen
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in stops:
            task.cancel()
        await asyncio.gather(*stops, return_exceptions=True)


async def ask(client: AsyncClient, session: Session, options: Options, *, drawn: bool) -> int:
    """Ask the question, show the answer.

    Raises:
        Error: the message was refused, or the server is lost.
    """
    assert options.question is not None
    reply = await session.say(options.question)
    work = _frames(client, reply) if options.json else _text(reply, options, drawn=drawn)
    return await _finish(reply, work, options)


async def watch(client: AsyncClient, snapshot: Snapshot, options: Options, *, drawn: bool) -> int:
    """Show the newest reply of a conversation to its end, or its events until it is quiet.

    Raises:
        Error: the server is lost.
    """
    if options.json:
        async for event in client.follow(snapshot.conversation, after=options.after, until="idle"):
            _print(event.raw)
        return Exit.OK
    if not snapshot.turns:
        return Exit.OK
    reply = client.attach(snapshot.conversation, snapshot.turns[-1].turn)
    return await _finish(reply, _text(reply, options, drawn=drawn), options, stoppable=False)


async def _finish(
    reply: AsyncReply, work: Coroutine[Any, Any, None], options: Options, *, stoppable: bool = True
) -> int:
    """Show a reply to its end; the exit status. Ctrl-C stops the reply, or only the looking on."""
    async with _interrupts(reply.cancel, at_once=not stoppable) as interrupts:
        working = asyncio.create_task(work)
        leaving = asyncio.create_task(interrupts.left.wait())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            return Exit.INTERRUPTED
        await working
    if interrupts.count:
        return Exit.INTERRUPTED
    if reply.status in ("completed", "incomplete"):
        return Exit.OK
    if not options.json:
        reason = "was stopped elsewhere" if reply.status == "cancelled" else f"failed: {model_error(reply.error)}"
        print(f"parley: the reply {clean(reason)}", file=sys.stderr)
    return Exit.FAILED


async def _text(reply: AsyncReply, options: Options, *, drawn: bool) -> None:
    shown = screen(drawn=drawn)
    try:
        await show(reply, shown)
    finally:
        shown.finish(footer(reply) if drawn and reply.ended and not options.quiet else "")


async def _frames(client: AsyncClient, reply: AsyncReply) -> None:
    """Print the receipt and the frames of the turn, one a line, as they came."""
    await reply.accepted()
    receipt = reply.receipt
    assert receipt is not None
    _print(msgspec.json.encode({"type": "receipt", **msgspec.structs.asdict(receipt)}))
    async for event in client.follow(reply.conversation, after=receipt.cursor or None):
        if event.type == "snapshot":
            _print(event.raw)
            turns = snapshot_decoder.decode(event.raw).turns
            if any(turn.turn == reply.turn and turn.ended for turn in turns):
                break
        elif event.turn == reply.turn:
            _print(event.raw)
            if event.type == "end":
                break
    await _over(reply)


async def _over(reply: AsyncReply) -> None:
    async for _ in reply.changes():
        pass


def _print(frame: bytes) -> None:
    sys.stdout.write(json_line(frame) + "\n")
    sys.stdout.flush()
