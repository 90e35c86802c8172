"""Parley's own protocol over Server-Sent Events: each turn is a POST whose answer is its frames."""

import time

from parley.bench.checker import Reply
from parley.bench.drivers.base import Driver, Refused
from parley.bench.drivers.frames import FRAME, Taking, delete, make_conversation, stored
from parley.bench.http import Connection, Events, Failed, Origin

# Statuses by which a server says: not now.
NOT_NOW = (429, 503)


class Sse(Driver):
    """Says by POST and reads the events of the answer."""

    keeps = True

    def __init__(self, origin: Origin, model: str = "") -> None:
        super().__init__(origin, model)
        self._http: Connection | None = None
        self._conversation = self._turn = ""

    async def open(self) -> None:
        self._conversation = await make_conversation(self.origin)
        self._http = await Connection.open(self.origin)

    async def turn(self, message: str, reply: Reply) -> None:
        assert self._http is not None
        body = {"input": message} | ({"model": self.model} if self.model else {})
        taking = Taking(reply)
        events = Events(lambda data: taking.take(FRAME.decode(data), time.monotonic()))
        path = f"/api/conversations/{self._conversation}/turns"
        try:
            await self._http.stream("POST", path, body, events.feed, accept="text/event-stream")
        except Failed as error:
            if error.status in NOT_NOW:
                raise Refused(str(error), error.status) from None
            raise
        if not taking.complete:
            raise Failed("the events ended before the reply did")
        self._turn, self.accepted = taking.turn, taking.accepted_at - reply.asked_at

    async def kept(self) -> str | None:
        return await stored(self.origin, self._conversation, self._turn)

    async def forget(self) -> None:
        await delete(self.origin, self._conversation)

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
