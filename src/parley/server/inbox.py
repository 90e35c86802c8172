"""An inbox: the messages that one client sends over a WebSocket, and how much of that is taken."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Receive

from parley.server.outbox import BAD_MESSAGES, TOO_FAST, UNSUPPORTED, Outbox

# Messages a second on average, and at once.
RATE, BURST = 50.0, 150.0
# Bad messages in so many seconds that end a connection.
BAD_MOST, BAD_SECONDS = 10, 60.0


class Inbox:
    """What comes in over one connection. Whoever sends bytes, too fast, or too much that is bad is hung up on."""

    __slots__ = ("_at", "_bad", "_clock", "_left", "_outbox", "_receive")

    def __init__(self, receive: Receive, outbox: Outbox) -> None:
        self._receive = receive
        self._outbox = outbox
        self._clock = asyncio.get_running_loop().time
        self._at = self._clock()
        self._left = BURST
        self._bad: list[float] = []

    async def read(self, take: Callable[[str], Awaitable[None]]) -> None:
        """Have each message taken, one after the other, until the client is gone."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if not self._spend():
                self._outbox.close(TOO_FAST, "too many messages")
            elif text is None:
                self._outbox.close(UNSUPPORTED, "frames are text")
            elif self._outbox.closing is None:
                await take(text)

    def note_bad(self) -> None:
        """A message was bad."""
        now = self._clock()
        self._bad = [at for at in self._bad if at > now - BAD_SECONDS] + [now]
        if len(self._bad) >= BAD_MOST:
            self._outbox.close(BAD_MESSAGES, "too many bad messages")

    def _spend(self) -> bool:
        """Take one of the messages that may come; tells whether there was one."""
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._at) * RATE) - 1
        self._at = now
        return self._left >= 0
