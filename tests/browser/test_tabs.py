"""One conversation in twenty tabs, in a tab that is reloaded all the time, and in one that slept: all show the same."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.browser.chromium import play
from tests.browser.stage import (
    PATIENCE,
    ended,
    named,
    opened,
    parley,
    replies,
    say,
    shown,
    shows,
    stored,
    tokens,
    visit,
)
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

TABS = 20


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    with parley() as made:
        yield made


@pytest.mark.timeout(300)  # twenty pages are a lot for a busy machine
def test_twenty_tabs_show_the_same(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            context.set_default_navigation_timeout(3 * PATIENCE)
            page = await opened(context, up.url)
            await say(page, "say 800 tag=same delay=0.01 reasoning=3")
            await named(page)
            tabs = [page]
            while len(tabs) < TABS:
                tabs.append(await opened(context, page.url))
            await expect(page.locator("#watching")).to_have_text(f"{TABS} watching")
            await say(tabs[-1], "say 30 tag=all")
            for tab in tabs:
                await ended(tab, 1)
                await shows(tab, tokens("same", 800))
                await shows(tab, tokens("all", 30), 1)
            assert watch.complaints == []

    play(main())


def test_a_reload_at_every_tenth_token_neither_loses_nor_doubles_one(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 120 tag=reload delay=0.05")
            for at in range(10, 120, 10):
                await expect(replies(page)).to_contain_text(f"reload:{at:04d}")
                assert tokens("reload", 120).startswith(await shown(page))
                await page.reload()
            await ended(page)
            await shows(page, tokens("reload", 120))
            (turn,) = stored(up, await named(page))
            assert " ".join(turn["text"].split()) == tokens("reload", 120)
            assert watch.complaints == []

    play(main())


def test_a_page_that_slept_goes_on_where_the_reply_is(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 300 tag=slept delay=0.01")
            await expect(replies(page)).to_contain_text("slept:0005")
            name = await named(page)
            devtools = await context.new_cdp_session(page)
            await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
            while (await asyncio.to_thread(stored, up, name))[0]["status"] != "completed":
                await asyncio.sleep(0.1)
            await devtools.send("Page.setWebLifecycleState", {"state": "active"})
            await ended(page)
            await shows(page, tokens("slept", 300))
            await say(page, "say 2 tag=awake")
            await ended(page, 1)
            assert watch.complaints == []

    play(main())
