"""Where no WebSocket gets through: events, held by one tab for all; where those stall too, snapshots."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.browser.chromium import play
from tests.browser.stage import ended, named, opened, parley, replies, say, shown, shows, stored, tokens, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes on bytes both ways, but no request whose head holds one of the words.

    A browser sends an upgrade, and what it waits long for, on connections of their own or as the next request of one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.words = [b"upgrade: websocket"]
        self.streams = 0

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
        try:
            while data := await reader.read(65536):
                self.streams += data.count(b"/events HTTP")
                if any(word in data.lower() for word in self.words):
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


@pytest.mark.timeout(300)  # eight pages are a lot for a busy machine
def test_one_tab_holds_the_events_of_all_and_another_goes_on_when_it_is_closed() -> None:
    async def main(up: Deployment) -> None:
        proxy = Proxy(up.port)
        async with proxy.running() as url, visit(up) as (context, _):
            page = await opened(context, url)
            await expect(page.locator("#banner")).to_contain_text("WebSockets do not get through here.")
            await say(page, "say 300 tag=round delay=0.02")
            await expect(replies(page)).to_contain_text("round:0005")
            name = await named(page)
            others = [await opened(context, page.url) for _ in range(7)]  # more than a browser's connections
            for other in others:
                await expect(replies(other)).to_contain_text("round:0010")
            assert proxy.streams <= 2
            await page.close()  # which held them
            for other in others:
                await ended(other)
                await shows(other, tokens("round", 300))
            await say(others[0], "say 5000 tag=long delay=0.02")
            await expect(replies(others[3]).nth(1)).to_contain_text("long:0005")
            await others[3].bring_to_front()
            await others[3].get_by_role("button", name="Stop the reply").click()
            for other in (others[0], others[5]):
                await ended(other, 1)
                assert (await shown(other, 1)).startswith("long:0000")
            assert [turn["status"] for turn in stored(up, name)] == ["completed", "cancelled"]

    with parley() as up:
        play(main(up))


def test_where_nothing_streams_the_page_asks() -> None:
    async def main(up: Deployment) -> None:
        proxy = Proxy(up.port)
        proxy.words.append(b"/events http")
        async with proxy.running() as url, visit(up) as (context, _):
            page = await opened(context, url)
            await say(page, "say 200 tag=asked delay=0.03")
            await expect(page.locator("#banner")).to_contain_text("Nothing streams through here.")
            await ended(page)
            await shows(page, tokens("asked", 200))

    with parley() as up:
        play(main(up))
