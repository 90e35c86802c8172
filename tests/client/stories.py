"""Stories: a server that the test writes, and a client of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from parley.client.client import AsyncClient
from tests.client.scripted import ScriptedServer

Story = Callable[[ScriptedServer, AsyncClient], Awaitable[None]]


def play(story: Story, *, answer: list[str] | None = None, patience: float = 60, **options: Any) -> None:
    """Run a story with a server and a client of it."""

    async def main() -> None:
        async with (
            asyncio.timeout(30),
            ScriptedServer(answer, **options) as server,
            AsyncClient(server.url, options.get("token"), patience=patience) as client,
        ):
            await story(server, client)

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, not for a time."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def said(server: ScriptedServer, kind: str = "say") -> list[dict[str, Any]]:
    return [frame for frame in server.received if frame["type"] == kind]
