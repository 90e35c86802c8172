"""The second seed's socket: what somebody types in, finished replies out, as JSON (wire.seeds).

A reader and a writer, as in server.socket. What the hub hands over only says when to look; what is sent is read from
the turns as they are stored, in their order, so the socket and the history cannot tell different things, and a reply
that ends while nobody listens is sent to whoever comes next.
"""

import asyncio
import logging
import secrets
import time
import uuid
from collections import deque
from typing import Any

from starlette.types import Receive, Send

from parley.core.errors import Gone, InvalidRequest, NotFound, ParleyError, TooLarge, Unavailable
from parley.core.turn import TERMINAL_STATUSES, Turn
from parley.server.auth import Principal
from parley.server.errors import INTERNAL_ERROR
from parley.server.inbox import Inbox
from parley.server.outbox import INTERNAL, UNAUTHENTICATED, Close, Frame, Outbox
from parley.server.parts import Parts
from parley.server.turns import Turns
from parley.store.cancelling import cancel
from parley.wire import seeds, strict_json
from parley.wire.commands import Say
from parley.wire.frames import encode

log = logging.getLogger(__name__)

# The seed's clients know this one for every token that is no good.
REFUSED = Close(1008, seeds.EXPIRED)
# How long reading what was said before a connection broke may take.
LAST_SECONDS = 5.0

# How many replies a socket remembers to have sent.
SENT = 64

# The kind of frames that are sent as they are; all others come from the log.
OURS = "ours"


class Chat:
    """One connection to a session's conversation.

    Args:
        start: the place of the first turn whose reply is to be sent.
    """

    def __init__(
        self, parts: Parts, outbox: Outbox, who: Principal, conversation: str, start: int, receive: Receive, send: Send
    ) -> None:
        self._service = parts.service
        self._outbox = outbox
        self._who = who
        self._conversation = conversation
        self._turns = Turns(parts.store.conversations, conversation)
        self._start = self._next = start
        self._sent: deque[str] = deque(maxlen=SENT)  # the turns whose replies were sent last
        self._due = False  # a reply may have ended that could not be looked up
        self._inbox = Inbox(receive, outbox)
        self._send = send

    async def run(self) -> None:
        """Serve the connection until it ends."""
        reader = asyncio.create_task(self._inbox.read(self._take))
        writer = asyncio.create_task(self._write())
        # The writer may be stuck behind a client that does not read.
        self._outbox.stalled = writer.cancel
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and not writer.cancelled() and isinstance(writer.exception(), OSError):
                # The client has gone; what it said before is still to be read.
                await asyncio.wait({reader}, timeout=LAST_SECONDS)
            for task in (reader, writer):
                if task.done() and not task.cancelled():
                    task.result()
            if not reader.done() and (closing := self._outbox.closing) is not None:
                await self._close(closing)
        finally:
            await cancel(reader, writer)

    async def _close(self, closing: Close) -> None:
        if closing.code == UNAUTHENTICATED:
            closing = REFUSED
        await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    # Out.

    async def _write(self) -> None:
        while (frame := await self._outbox.take()) is not None:
            if frame.kind == OURS:
                await self._send({"type": "websocket.send", "text": frame.text})
            elif frame.kind == "deleted":
                self._end(REFUSED)
            elif frame.kind in ("end", "snapshot") or self._due:
                if frame.kind == "snapshot":
                    # The log did not go on. The store may have been restored from a copy: places were given anew.
                    self._next = max(self._start, self._next - SENT)
                await self._deliver()

    async def _deliver(self) -> None:
        """Send the replies that have ended and were not sent yet."""
        self._due = True
        try:
            while True:
                page = await self._turns.page(self._next, 1)
                self._next = min(self._next, page.total)
                ended = [(place, turn) for place, turn in page.turns if turn.status in TERMINAL_STATUSES]
                for place, turn in ended:
                    if turn.id not in self._sent:
                        await self._send({"type": "websocket.send", "text": encode(seeds.reply(turn, place)).decode()})
                        self._sent.append(turn.id)
                    self._next = place + 1
                if not ended or self._next >= page.total:
                    break
            self._due = False
        except (NotFound, Gone):
            self._end(REFUSED)
        except Unavailable:
            return  # the next frame, at the latest a ping, makes us look again

    def _end(self, closing: Close) -> None:
        self._outbox.close(closing.code, closing.reason)

    # In.

    async def _take(self, text: str) -> None:
        """Take one message; whatever is wrong with it is answered."""
        text, key = seeds.parse_message(text)
        try:
            strict_json.check_text(text, "msg")
            await self._post(text, self._service.key(key, "client_msg_id"))
        except (NotFound, Gone):
            self._end(REFUSED)
        except ParleyError as error:
            self._refuse(error, key)
            if isinstance(error, InvalidRequest | TooLarge):
                self._inbox.note_bad()
        except Exception:
            log.exception("a message failed")
            self._refuse(INTERNAL_ERROR, key)
            self._outbox.close(INTERNAL, "our fault: come back")

    async def _post(self, text: str, key: str | None) -> None:
        receipt = await self._service.say(self._who, self._conversation, Say(input=text), key)
        if receipt["replayed"] and receipt["status"] in TERMINAL_STATUSES:
            await self._repeat(receipt["turn"])

    async def _repeat(self, name: str) -> None:
        """Send the reply to a message that was said again: perhaps it never arrived."""
        place = await self._turns.place(name)
        if place is None or place >= self._next:
            return  # it is still to be sent anyway
        page = await self._turns.page(place, 1)
        for at, turn in page.turns:
            await self._put_reply(turn, at)

    async def _put_reply(self, turn: Turn, place: int) -> None:
        data = encode(seeds.reply(turn, place))
        await self._outbox.fit(len(data))
        self._outbox.put(Frame(OURS, data))

    def _refuse(self, error: ParleyError, key: str | None) -> None:
        self._outbox.put(refusal(error, key))


def refusal(error: ParleyError, key: str | None = None) -> Frame:
    """The frame for a message that was not taken."""
    fields: dict[str, Any] = dict(error.envelope()["error"])
    if error.retry_after is not None:
        fields["retry_after"] = error.retry_after
    if key is not None:
        fields["client_msg_id"] = key
    name = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    return Frame(OURS, encode(seeds.refusal(name, round(time.time() * 1000), fields)))


async def start(turns: Turns, after: str | None) -> int:
    """The place of the first turn whose reply a client that comes now is to be sent.

    Args:
        after: the id of the last message it knows; None: the replies that have ended are known to it.

    Raises:
        InvalidRequest: `message_not_found`: `after` is no message of this chat.
        NotFound, Gone, Unavailable.
    """
    if after is None:
        return await turns.open()
    found = seeds.parse_message_id(after)
    place = await turns.place(found[0]) if found is not None else None
    if found is None or place is None:
        raise InvalidRequest("message_not_found", "`after` is no message of this chat.", param="after")
    return place + 1 if found[1] == seeds.ANSWER else place
