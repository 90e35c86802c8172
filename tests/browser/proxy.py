"""A proxy between a browser and a server, which hears what is asked for and may refuse it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes on bytes both ways.

    A browser sends an upgrade, and what it waits long for, on connections of their own or as the next request of one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.said: list[bytearray] = []  # what came over each connection of the browser's

    def refuses(self, data: bytes) -> bool:
        """Whether what a browser sends is answered by a refusal."""
        return False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Its URL, while it runs."""
        served: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            served.add(task)
            with contextlib.suppress(ConnectionError):
                await self._serve(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for task in served:
                task.cancel()
            await asyncio.gather(*served, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(copy(there, writer))
        said = bytearray()
        self.said.append(said)
        try:
            while data := await reader.read(65536):
                said += data
                if self.refuses(data):
                    writer.write(REFUSAL)
                    await writer.drain()
                    break
                back.write(data)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            for each in (back, writer):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, to its end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
