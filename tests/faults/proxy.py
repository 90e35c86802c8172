"""A proxy between Parley and Redis that knows commands and their replies, and loses or keeps back what it is told to.

    async with Proxy(server.socket) as proxy:
        proxy.rule = lambda call: Fault.CUT_AFTER if call.name == "final" else None
        client = connect(proxy.url)

Each command meets the rule once. Without one, and on a connection that listens to the bell, everything passes.
A network that swallows everything is `silent`: what is sent meanwhile arrives when it is over, as TCP has it.
"""

import asyncio
import contextlib
import enum
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Self

import hiredis
from msgspec import Struct

from parley.store.connect import Client
from parley.store.scripts import digest, source

CHUNK = 1 << 16
SHA_CHARACTERS = 40


class Fault(enum.Enum):
    """What becomes of a command; its connection ends with it."""

    CUT_BEFORE = "the request is lost"
    CUT_AFTER = "it is executed, and its reply is lost"


class Call(Struct, frozen=True):
    """A command that comes by. `name` is a script's, or the command's own in lower case; `number` counts its kind."""

    name: str
    number: int
    words: Sequence[bytes]


# What becomes of a command: nothing, a fault, or so many seconds before it is passed on.
Rule = Callable[[Call], Fault | float | None]


async def load_scripts(client: Client) -> None:
    """Make all scripts known: what is cut off then is not a server that says it does not know them."""
    for text in script_names():
        if len(text) > SHA_CHARACTERS:
            await client.multiplexer.call(("SCRIPT", "LOAD", text))


def script_names() -> dict[bytes, str]:
    """The scripts by what EVALSHA, EVAL and SCRIPT LOAD call them."""
    folder = resources.files("parley.store") / "scripts"
    names = [file.name.removesuffix(".lua") for file in folder.iterdir() if file.name.endswith(".lua")]
    return {digest(name).encode(): name for name in names} | {source(name).encode(): name for name in names}


class Proxy:
    """Listens on a unix socket of its own (or a TCP port) and passes on to a server's.

    Attributes:
        rule: what becomes of each command from now on.
        seen: commands that came by; `lost`: those that met a fault; `replies`: first words of replies to scripts.
    """

    def __init__(self, server: Path, *, tcp: bool = False) -> None:
        self.rule: Rule | None = None
        self.seen: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.replies: Counter[tuple[str, bytes]] = Counter()
        self.refusing = False  # connections, as a server that is not there
        self._server = server
        self._tcp = tcp
        self._names = script_names()
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}  # ways that nothing is swallowed on
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._directory = tempfile.TemporaryDirectory(prefix="parley-proxy-")
        self.url = ""

    async def __aenter__(self) -> Self:
        self.silent(up=False, down=False)
        if self._tcp:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
            self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/0"
        else:
            path = f"{self._directory.name}/s"
            self._listener = await asyncio.start_unix_server(self._serve, path, limit=CHUNK)
            self.url = f"unix://{path}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._directory.cleanup()

    def silent(self, *, up: bool = True, down: bool = True) -> None:
        """Swallow what goes up to the server, or down to the client, until told otherwise."""
        for way, swallowed in (("up", up), ("down", down)):
            if swallowed:
                self._open[way].clear()
            else:
                self._open[way].set()

    def cut(self) -> None:
        """End all connections."""
        for link in list(self._links):
            link.cut()

    def name(self, words: Sequence[bytes]) -> str:
        """What a command is called."""
        kind = words[0].lower().decode()
        if kind in ("evalsha", "eval"):
            return self._names.get(words[1], kind)
        return kind

    async def passed(self, way: str) -> None:
        """Wait until this way is open."""
        await self._open[way].wait()

    def meet(self, words: Sequence[bytes]) -> tuple[str, Fault | float | None]:
        """Count a command and ask the rule about it."""
        name = self.name(words)
        self.seen[name] += 1
        met = self.rule(Call(name, self.seen[name], words)) if self.rule else None
        if met is not None:
            self.lost[name] += 1
        return name, met

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above: asyncio.StreamWriter | None = None
        try:
            if self.refusing:
                return
            below, above = await asyncio.open_unix_connection(str(self._server), limit=CHUNK)
            link = Link(self, writer, above)
            self._links.add(link)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(link.requests(reader))
                    both.create_task(link.replies(below))
            except* (OSError, Ended):
                pass
            finally:
                self._links.discard(link)
        except OSError:
            pass  # the server is not there
        finally:
            for end in (writer, above):
                if end is not None:
                    end.transport.abort()


class Ended(Exception):
    """One side went, or a fault has it go."""


class Link:
    """One connection: `client` and `server` are where its two ways lead."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._under_way: deque[tuple[str, bool]] = deque()  # commands without a reply yet; whether theirs is lost
        self._listening = False

    def cut(self) -> None:
        """End it."""
        for end in (self._client, self._server):
            end.transport.abort()

    async def requests(self, reader: asyncio.StreamReader) -> None:
        """Pass commands on, one by one."""
        parser = hiredis.Reader()
        while data := await reader.read(CHUNK):
            parser.feed(data)
            while (words := parser.gets()) is not False:
                name, met = self._proxy.meet(words)
                if met is Fault.CUT_BEFORE:
                    raise Ended
                if isinstance(met, float):
                    await asyncio.sleep(met)
                self._listening |= name == "subscribe"
                self._under_way.append((name, met is Fault.CUT_AFTER))
                await self._proxy.passed("up")
                self._server.write(hiredis.pack_command(tuple(words)))
                with contextlib.suppress(ConnectionError):
                    await self._server.drain()
        raise Ended

    async def replies(self, reader: asyncio.StreamReader) -> None:
        """Pass replies back, one by one."""
        buffer = b""
        while data := await reader.read(CHUNK):
            buffer += data
            while not self._listening and (end := end_of_reply(buffer, 0)) is not None:
                reply, buffer = buffer[:end], buffer[end:]
                name, lost = self._under_way.popleft()
                self._proxy.replies[name, first_word(reply)] += 1
                if lost:
                    raise Ended
                await self._send(reply)
            if self._listening:
                await self._send(buffer)
                buffer = b""
        raise Ended

    async def _send(self, data: bytes) -> None:
        await self._proxy.passed("down")
        self._client.write(data)
        with contextlib.suppress(ConnectionError):
            await self._client.drain()


def end_of_reply(data: bytes, at: int) -> int | None:
    """Where the RESP2 reply that begins at `at` ends; None: not all of it is there."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return None
    kind, here = data[at : at + 1], line + 2
    if kind in b"+-:":
        return here
    size = int(data[at + 1 : line])
    if size < 0:
        return here
    if kind == b"$":
        return here + size + 2 if len(data) >= here + size + 2 else None
    for _ in range(size):
        end = end_of_reply(data, here)
        if end is None:
            return None
        here = end
    return here


def first_word(reply: bytes) -> bytes:
    """What a script replies first, as OK or FENCED; empty for what is no script's."""
    parts = reply.split(b"\r\n", 3)
    return parts[2] if reply[:1] == b"*" and len(parts) > 2 and parts[1][:1] == b"$" else b""
