"""A message written anew, and a reply asked for once more: each is a version beside the one before."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import in_page, play
from tests.browser.stage import call, ended, message, named, opened, parley, replies, say, shows, stored, tokens, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


def said(page: Page) -> Locator:
    """The messages that are shown."""
    return page.get_by_role("article", name="You")


def field(page: Page) -> Locator:
    """Where a message is written anew."""
    return page.get_by_role("textbox", name="Edit message")


async def edit(page: Page, number: int) -> None:
    """Begin to write a message anew."""
    await said(page).nth(number).hover()
    await said(page).nth(number).get_by_role("button", name="Edit message").click()
    await expect(field(page)).to_be_focused()


def test_an_edited_message_is_a_version_beside_the_first(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 2 tag=one")
            await ended(page)
            await say(page, "say 2 tag=two")
            await ended(page, 1)
            conversation = await named(page)
            other = await opened(context, page.url)
            await expect(replies(other)).to_have_count(2)
            await page.bring_to_front()
            await edit(page, 0)
            await expect(field(page)).to_have_value("say 2 tag=one")
            await page.keyboard.press("Escape")
            await expect(field(page)).to_have_count(0)
            await expect(said(page).first).to_contain_text("say 2 tag=one")
            await expect(said(page).first.get_by_role("button", name="Edit message")).to_be_focused()
            await page.keyboard.press("Enter")
            await field(page).fill(" ")
            await expect(page.get_by_role("button", name="Send").first).to_be_disabled()
            await field(page).fill("say 3 tag=changed")
            await page.keyboard.press("Shift+Enter")
            await page.keyboard.type("delay=0.001")
            await page.keyboard.press("Enter")
            await expect(message(page)).to_be_focused()
            for tab in (page, other):
                await expect(replies(tab)).to_have_count(1)
                await ended(tab)
                await shows(tab, tokens("changed", 3))
                await expect(said(tab)).to_contain_text("2/2")
            first, second, third = stored(up, conversation)
            assert third["parent"] == first["parent"] == ""
            assert second["parent"] == first["turn"]
            assert third["request"]["input"] == [{"role": "user", "content": "say 3 tag=changed\ndelay=0.001"}]
            # What is said now follows the version that is shown; the other one is still there, whole.
            await say(page, "say 1 tag=on")
            await ended(page, 1)
            await page.get_by_role("button", name="Version before").click()
            await shows(page, tokens("one", 2))
            await shows(page, tokens("two", 2), 1)
            assert stored(up, conversation)[3]["parent"] == third["turn"]
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_escape_in_an_edit_stops_no_reply_and_sending_it_does(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 5000 tag=long delay=0.01")
            await expect(replies(page)).to_contain_text("long:0010")
            await edit(page, 0)
            await page.keyboard.press("Escape")
            await expect(field(page)).to_have_count(0)
            await expect(replies(page)).to_contain_text("long:0040")
            await edit(page, 0)
            await field(page).fill("say 2 tag=short")
            await field(page).press("Enter")
            await shows(page, tokens("short", 2))
            await ended(page)
            long, short = stored(up, await named(page))
            assert (long["status"], short["status"]) == ("cancelled", "completed")
            assert long["text"].startswith("long:0000"), "its text is kept"
            await page.get_by_role("button", name="Version before").click()
            await expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
            assert watch.complaints == []

    play(main())


def test_any_reply_can_be_asked_for_again(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 2 tag=again")
            await ended(page)
            await say(page, "say 2 tag=behind")
            await ended(page, 1)
            await replies(page).first.hover()
            await replies(page).first.get_by_role("button", name="Ask again").click()
            await expect(replies(page)).to_have_count(1)
            await ended(page)
            await expect(said(page)).to_contain_text("2/2")
            await shows(page, tokens("again", 2))
            turns = stored(up, await named(page))
            assert [turn["parent"] for turn in turns] == ["", turns[0]["turn"], ""]
            assert turns[2]["request"] == turns[0]["request"]
            assert watch.complaints == []

    play(main())


def test_what_else_a_program_said_with_a_message_stays(up: Deployment) -> None:
    async def main() -> None:
        name = call(up, "/conversations", {"title": "By a program"})["id"]
        parts = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "say 1 tag=before"}]
        call(up, f"/conversations/{name}/turns", {"input": parts})
        async with visit(up) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            await ended(page)
            await edit(page, 0)
            await field(page).fill("say 1 tag=after")
            await field(page).press("Enter")
            await expect(replies(page)).to_contain_text("after:0000")
            await ended(page)
            assert stored(up, name)[1]["request"]["input"] == [parts[0], {"role": "user", "content": "say 1 tag=after"}]
            assert watch.complaints == []

    play(main())


def test_on_a_phone_the_reply_is_not_covered_by_the_keyboard(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up, color_scheme="dark", **PHONE) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 2 tag=small")
            await ended(page)
            await page.get_by_role("button", name="Edit message").tap()
            await field(page).fill("say 2 tag=" + "wide" * 30)
            await page.locator(".editor").get_by_role("button", name="Send").tap()
            await expect(page.get_by_role("region", name="Messages")).to_be_focused()
            await expect(replies(page)).to_contain_text("widewide")
            await ended(page)
            assert await in_page(page, "() => document.documentElement.scrollWidth - innerWidth") == 0
            assert watch.complaints == []

    play(main())
