"""A stand-in for the platform around an action: its runtime, its controller, and its streamer with all its faults.

Rows S3-S11 of the streamer, as they were measured: a listener for each call, 2,048 bytes a read with a line end behind
each, one buffer that is read into again while what was read last is still on its way out, one connection, no timeout,
and what the action returns dropped.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

FOLDER = Path(__file__).parents[2] / "deploy" / "openserverless" / "packages" / "parley" / "assistant"
READ_BYTES = 2_048
# How long what was read may wait to be written: reads in between overwrite it.
QUEUED_SECONDS = 0.004

# What the platform's runtime does with an action's folder: its main file is imported under another name, and each
# line is a call. Ours is not to be found there.
LAUNCHER = """
import json, os, sys
sys.modules["parley"] = None
sys.path.insert(0, sys.argv[1])
from main__ import main
replies = os.fdopen(int(sys.argv[2]), "w")
for line in sys.stdin:
    call = json.loads(line)
    for name, value in call.items():
        if name != "value":
            os.environ["__OW_" + name.upper()] = value
    try:
        reply = main(call["value"])
    except Exception as error:
        reply = {"error": str(error)}
    print(json.dumps(reply), file=replies, flush=True)
"""


class Runtime:
    """One warm container: a process that answers one call at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._replies: asyncio.StreamReader | None = None

    async def start(self) -> None:
        """Start the process."""
        reading, writing = os.pipe()
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", LAUNCHER, str(self._folder), str(writing),
            stdin=asyncio.subprocess.PIPE, pass_fds=(writing,), env=environment,
        )  # fmt: skip
        os.close(writing)
        self._replies = asyncio.StreamReader(limit=1 << 24)
        pipe = os.fdopen(reading, "rb")
        protocol = asyncio.StreamReaderProtocol(self._replies)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)

    async def stop(self) -> None:
        """End the process."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        self._transport.close()

    async def run(self, value: dict[str, Any], seconds: float, activation: str) -> dict[str, Any]:
        """One call."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._replies is not None
        deadline = str(round((time.time() + seconds) * 1000))
        call = {
            "value": value,
            "deadline": deadline,
            "activation_id": activation,
            "action_name": "/ns/parley/assistant",
        }
        async with self._one:
            self._process.stdin.write(json.dumps(call).encode() + b"\n")
            async with asyncio.timeout(seconds + 20):
                reply: dict[str, Any] = json.loads(await self._replies.readline())
        return reply


class Platform:
    """The controller and the streamer, and one action with its bound parameters.

    Attributes:
        seconds: the action's time limit.
        replies: what the action returned, call by call.
        sent: the bytes the action sent down each stream, read by read with the moment of each.
        connections: how often streams were connected to.
    """

    def __init__(self, bound: dict[str, str]) -> None:
        self.bound = bound
        self.seconds = 60.0
        self.replies: list[dict[str, Any]] = []
        self.sent: list[list[tuple[float, bytes]]] = []
        self.connections = 0
        self.url = ""
        self._calls = 0
        self._calling: set[asyncio.Task[dict[str, Any]]] = set()
        self._runtime: Runtime | None = None
        self._client: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def deployed(self, directory: Path) -> AsyncIterator["Platform"]:
        """Run it, with the folder unpacked in a directory as the runtime unpacks it."""
        folder = directory / "action"
        shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "__main__.py").rename(folder / "main__.py")
        self._runtime = Runtime(folder)
        app = web.Application()
        app.router.add_route("*", "/api/v1/web/{ns}/{pkg}/{action}", self._control)
        app.router.add_route("*", "/web/{ns}/{pkg}/{action}", self._stream)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        await self._runtime.start()
        try:
            async with aiohttp.ClientSession() as self._client:
                yield self
        finally:
            await self._runtime.stop()
            await runner.cleanup()

    async def call(self, **args: Any) -> dict[str, Any]:
        """Call the action as the controller does; what it returns."""
        assert self._runtime is not None
        self._calls += 1
        value = {"__ow_method": "post", "__ow_headers": {}, **args, **self.bound}  # what is bound is final
        reply = await self._runtime.run(value, self.seconds, f"{self._calls:032x}")
        self.replies.append(reply)
        return reply

    async def _control(self, request: web.Request) -> web.Response:
        # An action that was begun runs on, whoever leaves.
        calling = asyncio.create_task(self.call(**(await request.json() if request.can_read_body else {})))
        self._calling.add(calling)
        calling.add_done_callback(self._calling.discard)
        reply = await asyncio.shield(calling)
        if "error" in reply:
            return web.json_response({"error": reply["error"]}, status=502)
        return web.json_response(reply.get("body"), status=reply.get("statusCode", 200))

    # The streamer.

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            server.close()  # the first one is the only one
            await connections.put((reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = str(server.sockets[0].getsockname()[1])
        body = {**await request.json(), "STREAM_HOST": "127.0.0.1", "STREAM_PORT": port}
        assert self._client is not None
        path = f"{self.url}/api/v1{request.path}"
        asked = asyncio.create_task(self._ask(path, body))
        connected = asyncio.create_task(connections.get())
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        try:
            await asyncio.wait({asked, connected}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and asked.result() and not connected.done():
                return web.Response(status=500, text=asked.result())
            reader, writer = await connected
            await response.prepare(request)
            try:
                await self._relay(reader, response)
            finally:
                writer.close()
            if failure := await asked:
                await response.write(failure.encode())
        finally:
            asked.cancel()
            connected.cancel()
            server.close()
        return response

    async def _ask(self, url: str, body: dict[str, Any]) -> str:
        """Invoke the action. Replies what readers are told of its failure; empty: it did not fail."""
        assert self._client is not None
        async with self._client.post(url, json=body) as answer:
            await answer.read()
            return "" if 200 <= answer.status < 300 else f"not ok ({answer.status} {answer.reason})\n"

    async def _relay(self, reader: asyncio.StreamReader, response: web.StreamResponse) -> None:
        buffer = bytearray(READ_BYTES)
        queue: asyncio.Queue[bytes] = asyncio.Queue(1)
        seen: list[tuple[float, bytes]] = []
        self.sent.append(seen)

        async def write() -> None:
            while data := await queue.get():
                began = time.monotonic()
                await asyncio.sleep(QUEUED_SECONDS)
                # Whatever the buffer holds by now; but where this process got no time, that is no fault of the sender.
                starved = time.monotonic() - began > 2 * QUEUED_SECONDS
                await response.write((data if starved else bytes(buffer[: len(data)])) + b"\n")

        writing = asyncio.create_task(write())
        try:
            while data := await reader.read(READ_BYTES):
                seen.append((time.monotonic(), data))
                buffer[: len(data)] = data
                await queue.put(data)
            await queue.put(b"")
            await writing
        finally:
            writing.cancel()
