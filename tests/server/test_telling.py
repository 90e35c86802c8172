"""A telling joins what it read with what it hears, and never takes back what it told without saying so."""

import contextlib
from collections.abc import AsyncIterator

from parley.server.auth import LOCAL
from parley.server.telling import Telling
from parley.store.runs import Grant, Runs
from parley.wire import serverless
from parley.wire.commands import Say
from tests.server.harness import House, house, until
from tests.store.harness import run


class Stage:
    """A turn in progress, the worker's hand on it, and a telling."""

    def __init__(self, home: House, telling: Telling, runs: Runs, grant: Grant) -> None:
        self.home = home
        self.telling = telling
        self.runs = runs
        self.grant = grant
        self.told = ""
        self._offset = 0

    async def write(self, text: str, gen: int = 1) -> None:
        """Append to the reply."""
        await self.home.bench.append(self.runs, self.grant, self._offset, text, gen=gen)
        self._offset += len(text.encode())

    async def rewind(self, offset: int) -> None:
        await self.runs.rewind(self.grant, 1, offset)
        self._offset = offset

    async def finish(self, gen: int = 1) -> None:
        await self.runs.final(self.grant, gen, self._offset, "completed", b"", [])

    async def hear(self, text: str) -> None:
        """Take what is told until it ends like this."""
        while not self.told.endswith(text):
            await self.telling.advance(5)
            self.told += self.telling.take()
            assert not self.telling.ended or self.told.endswith(text), self.told

    async def listen(self, turn: str, mark: serverless.Mark | None = None) -> Telling:
        """Another telling of the same."""
        parts = self.home.served[0].server.app.parts
        other = Telling(parts.hub, parts.service, LOCAL, self.telling.conversation)
        await other.resume(turn, mark)
        return other


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with house() as home:
        parts = home.served[0].server.app.parts
        telling = Telling(parts.hub, parts.service, LOCAL, await home.conversation())
        try:
            await telling.begin(Say(input="hello"), None)
            runs = home.bench.runs()
            yield Stage(home, telling, runs, await home.bench.take(runs))
        finally:
            telling.close()


def test_what_was_read_is_not_heard_again() -> None:
    """After a gap the reply is read as it stands; what is on its way still comes, and counts once."""

    async def main() -> None:
        async with stage() as s:
            await s.write("Grüße ")
            await s.hear("Grüße ")
            await s.write("an ")
            await s.write("alle")
            await until(lambda: s.telling._outbox.waiting)
            await s.telling._reload()
            await s.write("!")
            await s.finish()
            await s.hear("!")
            assert s.told == "Grüße an alle!"

    run(main())


def test_what_was_not_told_yet_is_withdrawn_silently() -> None:
    async def main() -> None:
        async with stage() as s:
            await s.write("Once upon ")
            await s.hear("upon ")
            await s.write("a crime")
            await s.rewind(len("Once upon a "))
            await s.write("time", gen=2)
            await s.finish(gen=2)
            # All of it was written before any of it is taken.
            while not s.telling.ended:
                await s.telling.advance(5)
            assert s.telling.take() == "a time"

    run(main())


def test_what_was_told_is_withdrawn_aloud() -> None:
    async def main() -> None:
        async with stage() as s:
            await s.write("Once upon a crime")
            await s.hear("crime")
            mark = s.telling.mark
            await s.rewind(len("Once "))
            await s.write("more", gen=2)
            await s.hear("more")
            assert s.told == f"Once upon a crime{serverless.ANEW}Once more"
            # Whoever left before that is told so too.
            other = await s.listen(mark.turn, mark)
            assert other.take() == f"{serverless.ANEW}Once more"
            other.close()
            await s.finish(gen=2)
            while not s.telling.ended:
                await s.telling.advance(5)
            assert not s.telling.waiting

    run(main())


def test_a_conversation_that_is_deleted_meanwhile() -> None:
    async def main() -> None:
        async with stage() as s:
            await s.write("Once ")
            await s.hear("Once ")
            await s.home.call("DELETE", f"/api/conversations/{s.telling.conversation}")
            await s.hear("]")
            assert s.told == "Once \n\n[error: the conversation was deleted]"

    run(main())


def test_a_turn_that_is_stopped_says_so() -> None:
    async def main() -> None:
        async with stage() as s:
            await s.write("Once <thi")
            await s.hear("Once ")
            path = f"/api/conversations/{s.telling.conversation}/turns/{s.telling.turn}/cancel"
            await s.home.call("POST", path, {})
            await s.hear("]")
            assert s.told == "Once <thi\n\n[stopped]"

    run(main())
