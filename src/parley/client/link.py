"""One WebSocket that comes back: commands until they are answered, and any number of conversations followed.

Whatever is not answered when the line breaks is sent again on the next one; every command is safe to repeat. Each
conversation is followed again from the cursor of the last frame its sink was given.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Protocol

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from parley.client.address import Address
from parley.client.backoff import pause
from parley.client.errors import (
    CLOSED,
    Busy,
    Closed,
    Error,
    InvalidRequest,
    NotAllowed,
    ServerFault,
    Unreachable,
    error_of,
)
from parley.client.http import refusal, unreachable
from parley.client.values import ErrorBody, Frame, encode, read_frame

# A server says something every 10 s. Half way to giving it up we ask.
ASK_AFTER = 15.0
SILENCE = 30.0
OPEN_TIMEOUT = 10.0
# A snapshot holds up to 50 replies of up to 1 MiB each.
MAX_FRAME = 64 * 1024 * 1024
SNAPSHOT_TURNS = 50
# A server closes the line over more messages than 150 at once and 50 a second.
BURST, RATE = 135, 48

NOT_AUTHENTICATED, FORBIDDEN = 4401, 4403
TOO_LARGE = 1009
# What was sent is at fault: sent again it would be again.
AT_FAULT = {1003, 1007, TOO_LARGE, 4400, 4413}


class Sink(Protocol):
    """Where the frames of one conversation go."""

    conversation: str

    def position(self) -> str | None:
        """The cursor to follow from; None: begin with a snapshot."""

    def frame(self, frame: Frame) -> None:
        """A frame of the conversation, in order."""

    def refused(self, error: Error) -> None:
        """It is not followed any more, for good."""


class _Command:
    """A command until it is answered. `line` is the number of the connection it was last sent on."""

    def __init__(self, data: bytes, answer: asyncio.Future[bytes]) -> None:
        self.data = data
        self.answer = answer
        self.line = 0


class Link:
    """A WebSocket to a server that is opened when it is needed and comes back until it is closed.

    Args:
        patience: seconds without a connection after which everything that waits fails as Unreachable. A server
            that was never reached is given up at the first try.
    """

    def __init__(self, address: Address, patience: float) -> None:
        self._address = address
        self._patience = patience
        self._commands: dict[str, _Command] = {}
        self._sinks: dict[str, Sink] = {}
        self._follows: dict[str, str] = {}  # conversation -> id of the follow that is not answered yet
        self._line = 0  # number of the present connection, from 1
        self._retry_ms = 0  # what the server asked for when it said bye
        self._ids = count(1)
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._listener: Callable[[bool], None] | None = None
        self._closed = False
        self._failure: Error | None = None
        self._queue: asyncio.Queue[_Command | bytes] | None = None  # what is to be sent on the present connection
        self._later: set[asyncio.Task[None]] = set()

    # What others ask of it.

    @property
    def up(self) -> bool:
        """Whether there is a connection just now."""
        return self._up.is_set()

    @property
    def broken(self) -> bool:
        """Whether there was a connection and is none just now."""
        return self._line > 0 and not self._up.is_set()

    def listen(self, listener: Callable[[bool], None]) -> None:
        """Tell when a connection that was there is lost, and when there is one again."""
        self._listener = listener

    async def open(self) -> None:
        """Wait for a connection.

        Raises:
            Unreachable, NotAllowed: there is none to be had.
        """
        self._start()
        assert self._task is not None
        up = asyncio.ensure_future(self._up.wait())
        try:
            await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if not self._up.is_set():
            raise self._failure or Closed(CLOSED)

    async def request(self, command: dict[str, Any]) -> bytes:
        """Send a command until it is answered; the answer's frame.

        Raises:
            Error: as the server says, or Unreachable.
        """
        loop = asyncio.get_running_loop()
        end, attempt = loop.time() + self._patience, 0
        while True:
            name = f"c{next(self._ids)}"
            answer: asyncio.Future[bytes] = loop.create_future()
            asked = self._commands[name] = _Command(encode({**command, "id": name}), answer)
            try:
                self._start()
                self._put(asked)
                return await answer
            except Unreachable as error:
                # The server is there and cannot just now: its database restarts, for instance.
                attempt += 1
                wait = pause(attempt, random.random())
                if error is self._failure or loop.time() + wait > end:
                    raise
            finally:
                self._commands.pop(name, None)
                if answer.done() and not answer.cancelled():
                    answer.exception()  # seen, also when whoever asked was cancelled
            await asyncio.sleep(wait)

    def follows(self, conversation: str) -> Sink | None:
        """Who is given the frames of a conversation."""
        return self._sinks.get(conversation)

    def watch(self, sink: Sink) -> None:
        """Follow a conversation from the sink's position on; again, from a new position, if it is followed."""
        self._sinks[sink.conversation] = sink
        self._start()
        if self._queue is not None:
            self._put(self._follow(sink))

    def unwatch(self, sink: Sink) -> None:
        """Follow a conversation no more."""
        if self._sinks.get(sink.conversation) is not sink:
            return
        del self._sinks[sink.conversation]
        self._follows.pop(sink.conversation, None)
        self._put(msgspec.json.encode({"type": "unfollow", "conversation": sink.conversation}))

    async def close(self) -> None:
        """Let go of everything, for good; what still waits fails as Closed."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._fail(Closed(CLOSED))

    # The life of a connection.

    def _start(self) -> None:
        if self._closed:
            raise Closed(CLOSED)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="parley link")

    async def _run(self) -> None:
        try:
            await self._come_back()
        except Exception as error:
            # A fault of ours: whoever waits is told, and the traceback is logged.
            self._fail(Error(f"The client failed ({error!r}). Please report this."))
            raise

    async def _come_back(self) -> None:
        """Connect again and again, until there is no hope."""
        loop = asyncio.get_running_loop()
        attempt, down_since = 0, loop.time()
        while True:
            broken: Error | None = None
            line = self._line
            self._retry_ms = 0
            try:
                broken = await self._session()
            except InvalidStatus as error:
                headers, body = error.response.headers, error.response.body or b""
                broken = refusal(error.response.status_code, bytes(body), headers.get("Retry-After"))
            except InvalidMessage as error:
                # Either it does not speak HTTP, or it died in the middle of its answer.
                broken = unreachable(self._address, error)
            except (OSError, TimeoutError, InvalidHandshake) as error:
                broken = unreachable(self._address, error)
            except msgspec.MsgspecError as error:
                self._fail(InvalidRequest(f"{self._address.url} says what this client does not understand: {error}."))
                return
            if self._line != line:
                attempt, down_since = 0, loop.time()
            attempt += 1
            wait = pause(attempt, random.random())
            if broken is not None and broken.retry_after:
                wait = max(wait, broken.retry_after)
            if self._retry_ms:
                wait = self._retry_ms / 1000 * random.uniform(0.5, 1.0)
            if broken is not None and self._hopeless(broken, loop.time() + wait - down_since):
                self._fail(broken)
                return
            await asyncio.sleep(wait)

    def _hopeless(self, error: Error, down: float) -> bool:
        if isinstance(error, Unreachable | Busy | ServerFault):
            return not self._address.reached or down > self._patience
        return True

    async def _session(self) -> Error | None:
        """One connection from its beginning to its end; why it ended, if trying again may not help."""
        async with connect(
            self._address.socket,
            additional_headers=self._address.headers,
            proxy=None if self._address.loopback else True,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=1,
            max_size=MAX_FRAME,
        ) as socket:
            self._line += 1
            self._queue = asyncio.Queue()
            self._address.reached = True
            self._up.set()
            if self._line > 1 and self._listener:
                self._listener(True)
            for sink in list(self._sinks.values()):
                self._put(self._follow(sink))
            for command in list(self._commands.values()):
                self._put(command)
            writer = asyncio.create_task(self._write(socket, self._queue))
            try:
                with contextlib.suppress(ConnectionClosed):
                    await self._read(socket)
            finally:
                writer.cancel()
                self._queue = None
                self._up.clear()
                self._follows.clear()
                broken = self._judge(socket.close_code, socket.close_reason or "")
                if self._listener:
                    # Behind those who were at fault, and know now: for them the line does not come back.
                    asyncio.get_running_loop().call_soon(self._listener, False)
        return broken

    async def _read(self, socket: ClientConnection) -> None:
        asked = False
        while True:
            try:
                async with asyncio.timeout(SILENCE - ASK_AFTER if asked else ASK_AFTER):
                    data = await socket.recv(decode=False)
            except TimeoutError:
                if asked:
                    return
                asked = True
                await socket.send('{"type":"ping"}')
            else:
                asked = False
                self._dispatch(read_frame(data))

    def _judge(self, code: int | None, reason: str) -> Error | None:
        """What a close code means for what waits. None: come back."""
        if code == NOT_AUTHENTICATED:
            return NotAllowed("The server does not know this token. Give another with --token or PARLEY_TOKEN.")
        if code == FORBIDDEN:
            return NotAllowed("The server does not allow this.")
        if code in AT_FAULT:
            if code == TOO_LARGE:
                error = InvalidRequest("This is longer than the server takes at once.", code="message_too_large")
            else:
                error = InvalidRequest(f"The server closed the line over what was sent ({code} {reason}).")
            for command in self._sent():
                command.answer.set_exception(error)
        return None

    def _sent(self) -> Iterator[_Command]:
        return (one for one in list(self._commands.values()) if one.line == self._line and not one.answer.done())

    # Frames in and out.

    def _follow(self, sink: Sink) -> bytes:
        name = f"f{next(self._ids)}"
        self._follows[sink.conversation] = name
        frame = {"type": "follow", "id": name, "conversation": sink.conversation, "turns": SNAPSHOT_TURNS}
        after = sink.position()
        return msgspec.json.encode(frame if after is None else {**frame, "after": after})

    def _put(self, what: _Command | bytes) -> None:
        """Have something sent. Without a connection: the next one begins with what is asked and followed."""
        if self._queue is not None:
            self._queue.put_nowait(what)

    async def _write(self, socket: ClientConnection, queue: asyncio.Queue[_Command | bytes]) -> None:
        """Send what is put, no faster than a server takes it."""
        loop = asyncio.get_running_loop()
        free = loop.time() - BURST / RATE  # when the last of the messages so far would have been sent at that rate
        with contextlib.suppress(ConnectionClosed):
            while True:
                what = await queue.get()
                free = max(free, loop.time() - BURST / RATE) + 1 / RATE
                if (wait := free - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if isinstance(what, _Command):
                    what.line = self._line
                await socket.send(what.data if isinstance(what, _Command) else what, text=True)

    def _dispatch(self, frame: Frame) -> None:
        if frame.type == "error":
            self._error(frame)
        elif frame.type == "bye":
            self._retry_ms = frame.retry_ms
        elif frame.type in ("receipt", "cancelled", "authenticated"):
            command = self._commands.get(frame.id or "")
            if command is not None and not command.answer.done():
                command.answer.set_result(frame.raw)
        elif sink := self._sinks.get(frame.conversation):
            # What was under way when we asked to follow from elsewhere is of no use any more.
            if frame.type == "following" and frame.id == self._follows.get(frame.conversation):
                del self._follows[frame.conversation]
            elif frame.type == "snapshot" and frame.id in ("", None, self._follows.get(frame.conversation)):
                self._follows.pop(frame.conversation, None)
                sink.frame(frame)
            elif frame.type != "following" and frame.conversation not in self._follows:
                sink.frame(frame)

    def _error(self, frame: Frame) -> None:
        try:
            body = msgspec.convert(frame.error, ErrorBody)
        except msgspec.ValidationError:
            body = ErrorBody("The server reported an error in a form this client does not know.")
        error = error_of(body.type, body.code or "", body.message, param=body.param, retry_after=frame.retry_after)
        command = self._commands.get(frame.id or "")
        if command is not None and not command.answer.done():
            command.answer.set_exception(error)
            return
        for conversation, name in list(self._follows.items()):
            if name == frame.id:
                del self._follows[conversation]
                sink = self._sinks.pop(conversation)
                if isinstance(error, Unreachable | Busy | ServerFault):
                    self._follow_later(sink)
                else:
                    sink.refused(error)

    def _follow_later(self, sink: Sink) -> None:
        """Follow again in a while: the server cannot just now."""
        self._sinks[sink.conversation] = sink

        async def again() -> None:
            await asyncio.sleep(pause(3, random.random()))
            if self._sinks.get(sink.conversation) is sink and sink.conversation not in self._follows:
                self.watch(sink)

        task = asyncio.create_task(again())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _fail(self, error: Error) -> None:
        self._failure = error
        commands, sinks = list(self._commands.values()), list(self._sinks.values())
        self._sinks.clear()
        for task in list(self._later):
            task.cancel()
        for command in commands:
            if not command.answer.done():
                command.answer.set_exception(error)
        for sink in sinks:
            sink.refused(error)
