"""Showing a reply: what happens to it, as what is seen."""

import asyncio

from parley.client.progress import Notice
from parley.client.reply import AsyncReply, Delta, Rewind
from parley.client.terminal.screen import Screen

# Draws a second: as often as an eye needs, and a block that takes long to draw is drawn less often.
INTERVAL = 0.05
SHARE = 4
# A reply that came at once says nothing about the speed of the model.
SHORT = 0.1


async def show(reply: AsyncReply, screen: Screen) -> None:
    """Show a reply until it is over; the screen is not finished yet then.

    Raises:
        Error: the message was refused, or the server is lost.
    """
    loop = asyncio.get_running_loop()
    thought = 0
    screen.draw()
    async for change in reply.changes():
        match change:
            case Delta(text, "text"):
                screen.add(text)
            case Delta(text):
                thought += len(text)
                screen.status(f"thinking ({thought} characters)")
            case Rewind(text=length, reasoning=thought):
                screen.rewind(length)
            case Notice():
                notice(change, screen)
        begun = loop.time()
        screen.draw()
        took = loop.time() - begun
        await asyncio.sleep(max(INTERVAL - took, took * SHARE) if took > INTERVAL / 100 else 0)


def notice(happened: Notice, screen: Screen) -> None:
    """Say what happened."""
    match happened.kind:
        case "queued":
            screen.status(f"waiting behind {happened.position} other message{'s' * (happened.position > 1)}")
        case "started":
            screen.status("…")
        case "waiting":
            screen.status(f"waiting for a worker for {happened.seconds:.0f} s; `parley work` starts one")
        case "delayed":
            screen.status(f"the model asks to wait {happened.seconds:.0f} s ({happened.reason})")
        case "takeover":
            screen.note("(the worker was lost; another goes on)")
        case "disconnected":
            screen.note("(the server is away; the reply goes on here when it is back)")
        case "reconnected":
            pass  # the text goes on, that says it


def footer(reply: AsyncReply, place: str = "") -> str:
    """The line under an answer: tokens, speed, time to the first text, and where that was."""
    parts: list[str] = []
    if reply.status == "cancelled":
        parts.append("stopped")
    elif reply.status == "incomplete":
        parts.append("cut short")
    if tokens := reply.usage.output_tokens:
        parts.append(f"{tokens} tok")
        if reply.seconds and reply.seconds > SHORT:
            parts.append(f"{(tokens - 1) / reply.seconds:.0f} tok/s")
    if reply.first_token_ms is not None:
        parts.append(f"first {reply.first_token_ms / 1000:.1f} s")
    return " · ".join([*parts, place] if place else parts)
