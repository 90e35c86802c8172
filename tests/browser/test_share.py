"""A link: made, read while it is written, taken back under its readers' eyes; and who is told how many look."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.chromium import play
from tests.browser.stage import ended, message, opened, parley, replies, say, shown, shows, tokens, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

SAID = "say 5000 tag=told delay=0.02"


async def shared(page: Page) -> str:
    """Make a link as a person does."""
    await page.get_by_role("button", name="Share", exact=True).click()
    await page.get_by_role("button", name="Make a link").click()
    field = page.get_by_role("textbox", name="Link")
    await expect(field).to_have_value(re.compile(r"/s/[0-9a-f]{34}[\w-]{22}$"))
    return await field.input_value()


async def stop_sharing(page: Page) -> None:
    await page.get_by_role("button", name="Stop sharing").click()
    await expect(page.get_by_role("button", name="Make a link")).to_be_visible()
    await page.get_by_role("button", name="Close", exact=True).click()


def test_a_link_is_read_while_it_is_written_and_ends_when_it_is_taken_back() -> None:
    async def main(up: Deployment) -> None:
        async with visit(up) as (context, watch), visit(up, viewport={"width": 390, "height": 844}) as (other, heard):
            page = await opened(context, up.url)
            await say(page, SAID)
            await expect(replies(page)).to_contain_text("told:0003")
            link = await shared(page)
            reader = await other.new_page()
            answer = await reader.goto(link)
            assert answer is not None
            assert (answer.status, answer.headers["x-robots-tag"]) == (200, "noindex, nofollow")
            await expect(replies(reader)).to_have_attribute("aria-busy", "true")
            await expect(replies(reader)).to_contain_text("told:0003")
            await expect(page.get_by_text("2 watching")).to_be_visible()
            # It can be looked at, and nothing else; nothing there leads to what is not shared.
            await expect(message(reader)).to_be_hidden()
            for name in ("Stop the reply", "Edit message", "Ask again", "Share", "Show conversations"):
                await expect(reader.get_by_role("button", name=name, exact=True)).to_have_count(0)
            await reader.keyboard.press("Escape")
            await page.get_by_role("button", name="Close", exact=True).click()
            before = len(await shown(page))
            await expect(replies(page)).to_contain_text(f"told:{before // 10 + 5:04d}")  # it went on
            await page.get_by_role("button", name="Stop the reply").click()
            for each in (page, reader):
                await ended(each)
            text = await shown(page)
            assert text == tokens("told", len(text.split()))
            await shows(reader, text)
            await reader.reload()
            await ended(reader)
            await shows(reader, text)
            await page.get_by_role("button", name="Shared by a link").click()
            await stop_sharing(page)
            await expect(reader.get_by_text("This link does not lead anywhere, or no longer.")).to_be_visible()
            await expect(replies(reader)).to_have_count(0)
            assert "told:" not in await reader.content()
            await expect(reader).to_have_title("Parley")
            answer = await reader.reload()
            assert answer is not None
            assert answer.status == 404
            await expect(reader.get_by_text("This link does not lead anywhere, or no longer.")).to_be_visible()
            await expect(page.get_by_text("2 watching")).to_be_hidden()
            assert (watch.complaints, watch.requests, heard.requests) == ([], [], [])
            assert [each for each in heard.complaints if "404" not in each] == []

    with parley() as up:
        play(main(up))
