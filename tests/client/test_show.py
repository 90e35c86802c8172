"""What a person is told while a reply is on its way, and under it."""

import asyncio

import pytest

from parley.client.client import AsyncClient
from parley.client.progress import Notice, Progress
from parley.client.reply import AsyncReply
from parley.client.terminal.show import footer, notice, show
from parley.core import event
from parley.core.turn import Status, Usage
from tests.client.scripted import ScriptedServer


class Told:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.text = ""
        self.statuses: list[str] = []
        self.notes: list[str] = []

    def add(self, text: str) -> None:
        self.text += text

    def rewind(self, length: int) -> None:
        self.text = self.text[:length]

    def status(self, text: str) -> None:
        self.statuses.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def forget(self) -> None:
        pass

    def draw(self) -> None:
        pass

    def finish(self, footer: str) -> None:
        pass


@pytest.mark.parametrize(
    ("happened", "status", "note"),
    [
        (Notice("queued", position=1), "waiting behind 1 other message", None),
        (Notice("queued", position=2), "waiting behind 2 other messages", None),
        (Notice("waiting", seconds=20), "waiting for a worker for 20 s; `parley work` starts one", None),
        (Notice("delayed", reason="loading", seconds=7.4), "the model asks to wait 7 s (loading)", None),
        (Notice("takeover"), None, "(the worker was lost; another goes on)"),
        (Notice("reconnected"), None, None),
    ],
)
def test_what_happens_is_said(happened: Notice, status: str | None, note: str | None) -> None:
    told = Told()
    notice(happened, told)
    assert (told.statuses, told.notes) == ([status] if status else [], [note] if note else [])


def test_a_reply_is_shown_as_it_happens() -> None:
    async def main() -> None:
        async with asyncio.timeout(20), ScriptedServer() as server, AsyncClient(server.url) as client:
            told = Told()
            reply = client.say(server.create().name, "go")
            showing = asyncio.create_task(show(reply, told))
            turn = await server.asked()
            server.event(turn.conversation, type="started", turn=turn.name)
            server.event(turn.conversation, type="delayed", turn=turn.name, reason="loading", seconds=2)
            turn.status = "in_progress"
            server.delta(turn, "Hm.", "reasoning")
            server.delta(turn, "wrong")
            server.event(turn.conversation, type="takeover", turn=turn.name, attempt=2)
            server.event(turn.conversation, type="of a later version", turn=turn.name)
            server.rewind(turn, 3)
            server.delta(turn, "right")
            server.end(turn)
            await showing
            assert told.text == "right"
            assert "the model asks to wait 2 s (loading)" in told.statuses
            assert any(status.startswith("thinking") for status in told.statuses)
            assert told.notes == ["(the worker was lost; another goes on)"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "usage", "seconds", "first", "line"),
    [
        ("completed", Usage(3, 101), 2.0, 0.42, "101 tok · 50 tok/s · first 0.4 s"),
        ("completed", Usage(3, 101), 0.01, 0.42, "101 tok · first 0.4 s"),
        ("completed", None, 2.0, 0.42, "first 0.4 s"),
        ("cancelled", None, None, None, "stopped"),
        ("incomplete", Usage(3, 5), None, None, "cut short · 5 tok"),
        ("completed", Usage(0, 0), None, None, ""),
    ],
)
def test_the_line_under_an_answer(
    status: Status, usage: Usage | None, seconds: float | None, first: float | None, line: str
) -> None:
    progress = Progress("conv", "turn")
    progress.fold(event.Ended("turn", status, 0, usage=usage))
    progress.seconds = seconds
    progress.first_at = None if first is None else progress.said_at + first

    async def nothing(_: Progress) -> None:
        raise AssertionError

    assert footer(AsyncReply(progress, nothing)) == line
