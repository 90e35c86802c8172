"""Deleting: off the list at once, taken back within seconds, and for good afterwards, even by a tab that was closed."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.chromium import play
from tests.browser.stage import PATIENCE, ended, named, opened, parley, replies, say, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    with parley() as made:
        yield made


async def talked(context: BrowserContext, up: Deployment, text: str) -> tuple[Page, str]:
    page = await opened(context, up.url)
    await say(page, text)
    await ended(page)
    return page, await named(page)


async def delete(page: Page, title: str) -> None:
    await page.get_by_role("link", name=title).hover()
    await page.get_by_role("button", name=f"Delete {title}").click()


def test_it_can_be_taken_back_for_a_while(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page, name = await talked(context, up, "say 2 tag=back")
            other = await opened(context, up.url)
            link, elsewhere = (each.get_by_role("link", name="say 2 tag=back") for each in (page, other))
            await expect(elsewhere).to_be_visible()
            await page.clock.install()
            await delete(page, "say 2 tag=back")
            await expect(link).to_have_count(0)
            await expect(elsewhere).to_have_count(0)
            await expect(replies(page)).to_have_count(0)
            await page.get_by_role("button", name="Undo").click()
            await expect(link).to_be_visible()
            await expect(elsewhere).to_be_visible()
            await expect(replies(page)).to_have_count(1)
            await page.clock.fast_forward(60_000)
            assert (await context.request.get(f"{up.url}/api/conversations/{name}")).status == 200
            await delete(page, "say 2 tag=back")
            await page.clock.fast_forward(11_000)
            await expect(page.get_by_role("button", name="Undo")).to_have_count(0)
            await until_gone(context, up, name)
            assert watch.complaints == []

    play(main())


def test_closing_the_tab_does_what_was_asked_for(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, _):
            page, name = await talked(context, up, "say 2 tag=left")
            await delete(page, "say 2 tag=left")
            await expect(page.get_by_role("button", name="Undo")).to_be_visible()
            await page.close()
            await until_gone(context, up, name)

    play(main())


def test_what_a_tab_that_died_was_told_to_delete_is_deleted_by_the_next(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, _):
            page, name = await talked(context, up, "say 2 tag=late")
            # As the tab that was told so had left it.
            left = f"{{localStorage.setItem('parley.deleting', JSON.stringify({{{name}: Date.now() - 60000}}))}}"
            await page.evaluate(left)
            await opened(context, up.url)
            await until_gone(context, up, name)

    play(main())


async def until_gone(context: BrowserContext, up: Deployment, name: str) -> None:
    """Wait until the server does not know it any more."""
    async with asyncio.timeout(PATIENCE / 1000):
        while (await context.request.get(f"{up.url}/api/conversations/{name}")).status not in (404, 410):
            await asyncio.sleep(0.05)
