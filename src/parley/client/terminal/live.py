"""A reply on the screen with a person at the keyboard: Ctrl-C stops it, Ctrl-D leaves it to go on."""

import asyncio
from typing import Any, Literal

from prompt_toolkit.input import Input

from parley.client.errors import Error
from parley.client.reply import AsyncReply
from parley.client.terminal.keys import watched
from parley.client.terminal.screen import Screen
from parley.client.terminal.show import footer, show

# over: shown to its end. left: the person goes. given_up: the person did not wait for the stop to arrive.
Outcome = Literal["over", "left", "given_up"]


class Live:
    """Shows one reply until it is over or the person turns away from it."""

    def __init__(self, reply: AsyncReply, screen: Screen, keyboard: Input) -> None:
        self._reply = reply
        self._screen = screen
        self._keyboard = keyboard
        self._stopping: asyncio.Task[None] | None = None
        self._away: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Stop the reply; a second time: do not wait for that."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._reply.cancel())
            self._screen.status("stopping")
            self._screen.draw()
        else:
            self._turn_away("given_up")

    def leave(self) -> None:
        """Turn away; the reply goes on."""
        self._turn_away("left")

    async def run(self, *, footed: bool, place: str = "") -> Outcome:
        """Show it; `footed`: with the line of figures under it, which ends with the `place`.

        Raises:
            Error: the message was refused, or the server is lost.
        """
        showing = asyncio.create_task(show(self._reply, self._screen))
        events: set[asyncio.Future[Any]] = {showing, self._away}
        whole = False
        try:
            with watched(self._keyboard, stop=self.stop, detach=self.leave, resume=self._redraw):
                await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
            whole = showing.done() and showing.exception() is None
            if whole and self._stopping is not None:
                await asyncio.wait({self._stopping})
        finally:
            for task in (showing, self._stopping):
                if task is not None:
                    task.cancel()
            ended = await asyncio.gather(*filter(None, (showing, self._stopping)), return_exceptions=True)
            self._screen.finish(footer(self._reply, place) if whole and footed else "")
        if self._away.done():
            return self._away.result()
        for result in ended:
            if isinstance(result, Error):
                raise result
        return "over"

    def _redraw(self) -> None:
        self._screen.forget()
        self._screen.draw()

    def _turn_away(self, how: Outcome) -> None:
        if not self._away.done():
            self._away.set_result(how)
