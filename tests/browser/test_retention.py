"""Conversations that are kept briefly, as long as any, or until they are let go: chosen, seen, and changed."""

import pytest
from playwright.async_api import expect

from tests.browser.chromium import play
from tests.browser.stage import ended, named, opened, parley, say, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser


def test_temporary_then_kept_then_pinned() -> None:
    async def main(up: Deployment) -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await page.get_by_role("button", name="Temporary conversation").click()
            await expect(page.get_by_text("Not listed, and deleted an hour after its last use.")).to_be_visible()
            await say(page, "say 2 tag=now")
            await ended(page)
            name = await named(page)
            kept = page.locator("#expiry")
            await expect(kept).to_have_text("Temporary")
            await say(page, "say 2 tag=again")
            await ended(page, 1)
            assert (await (await context.request.get(f"{up.url}/api/conversations")).json())["data"] == []
            other = await opened(context, page.url)
            link = page.get_by_role("link", name="say 2 tag=now")
            await expect(link).to_have_count(0)
            for button, says, heading in (
                ("Keep this conversation", "Expires in 24 hr.", "Today"),
                ("Pin, to keep it", "Pinned", "Pinned"),
            ):
                await page.get_by_role("button", name="More", exact=True).click()
                await page.get_by_role("button", name=button).click()
                for tab in (page, other):
                    await expect(tab.locator("#expiry")).to_have_text(says)
                    await expect(tab.get_by_role("link", name="say 2 tag=now")).to_be_visible()
                    await expect(tab.get_by_role("heading", name=heading)).to_be_visible()
            await page.reload()
            await expect(kept).to_have_text("Pinned")
            assert name in page.url
            assert watch.complaints == []

    with parley() as up:
        play(main(up))
