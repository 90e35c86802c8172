"""Where no WebSocket gets through: events, held by one tab for all; where those stall too, snapshots."""

import pytest
from playwright.async_api import expect

from tests.browser.chromium import play
from tests.browser.proxy import Proxy
from tests.browser.stage import ended, named, opened, parley, replies, say, shown, shows, stored, tokens, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser


class Blocker(Proxy):
    """Passes on no request whose head holds one of the words."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.words = [b"upgrade: websocket"]

    @property
    def streams(self) -> int:
        """How many streams of events were asked for."""
        return sum(said.count(b"/events HTTP") for said in self.said)

    def refuses(self, data: bytes) -> bool:
        """As the words say."""
        return any(word in data.lower() for word in self.words)


@pytest.mark.timeout(300)  # eight pages are a lot for a busy machine
def test_one_tab_holds_the_events_of_all_and_another_goes_on_when_it_is_closed() -> None:
    async def main(up: Deployment) -> None:
        proxy = Blocker(up.port)
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
        proxy = Blocker(up.port)
        proxy.words.append(b"/events http")
        async with proxy.running() as url, visit(up) as (context, _):
            page = await opened(context, url)
            await say(page, "say 200 tag=asked delay=0.03")
            await expect(page.locator("#banner")).to_contain_text("Nothing streams through here.")
            await ended(page)
            await shows(page, tokens("asked", 200))

    with parley() as up:
        play(main(up))
