"""Messages that wait behind a reply: whoever looks sees them, and may withdraw or change them."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import in_page, play
from tests.browser.stage import call, ended, message, named, opened, parley, replies, say, shows, stored, tokens, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
LONG = "say 5000 tag=long delay=0.01"


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


def waiting(page: Page) -> Locator:
    """The messages that wait."""
    return page.get_by_role("list", name="Messages waiting").get_by_role("listitem")


def test_another_device_withdraws_one_and_changes_another(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch), visit(up, color_scheme="dark", **PHONE) as (pocket, heard):
            page = await opened(context, up.url)
            await say(page, LONG)
            await expect(replies(page)).to_contain_text("long:0010")
            for tag in ("kept", "dropped", "changed"):
                await say(page, f"say 2 tag={tag}")
            queue = [f"say 2 tag={tag}" for tag in ("kept", "dropped", "changed")]
            await expect(waiting(page)).to_have_text(queue)
            conversation = await named(page)
            phone = await opened(pocket, page.url)
            await expect(waiting(phone)).to_have_text(queue)
            await waiting(phone).nth(1).get_by_role("button", name="Withdraw this message").tap()
            for tab in (page, phone):
                await expect(waiting(tab)).to_have_text([queue[0], queue[2]])
            await waiting(phone).nth(1).get_by_role("button", name="Withdraw and edit").tap()
            for tab in (page, phone):
                await expect(waiting(tab)).to_have_text([queue[0]])
            await expect(message(phone)).to_have_value(queue[2])
            await expect(message(phone)).to_be_focused()
            await message(phone).fill("say 3 tag=better")
            await phone.get_by_role("button", name="Send").tap()
            for tab in (page, phone):
                await expect(waiting(tab)).to_have_text([queue[0], "say 3 tag=better"])
            assert await in_page(phone, "() => document.documentElement.scrollWidth - innerWidth") == 0
            await message(page).press("Escape")
            for tab in (page, phone):
                await expect(replies(tab)).to_have_count(3)
                await ended(tab, 2)
                await expect(waiting(tab)).to_have_count(0)
                await shows(tab, tokens("kept", 2), 1)
                await shows(tab, tokens("better", 3), 2)
            turns = stored(up, conversation)
            assert [turn["status"] for turn in turns] == [
                "cancelled",
                "completed",
                "cancelled",
                "cancelled",
                "completed",
            ]
            assert [turn["text"] for turn in turns[2:4]] == ["", ""], "nobody answered what was withdrawn"
            assert (watch.complaints, heard.complaints) == ([], [])

    play(main())


def test_by_keyboard_the_focus_goes_back_to_where_one_writes(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, LONG)
            await expect(replies(page)).to_contain_text("long:0010")
            await say(page, "say 1 tag=first")
            await expect(waiting(page)).to_have_count(1)
            await page.keyboard.press("Shift+Tab")
            await expect(waiting(page).get_by_role("button", name="Withdraw this message")).to_be_focused()
            await page.keyboard.press("Enter")
            await expect(waiting(page)).to_have_count(0)
            await expect(message(page)).to_be_focused()
            await page.keyboard.press("Escape")
            await ended(page)
            assert watch.complaints == []

    play(main())


def test_what_a_program_said_in_parts_is_not_put_where_parts_would_be_lost(up: Deployment) -> None:
    async def main() -> None:
        name = call(up, "/conversations", {"title": "By a program"})["id"]
        first = call(up, f"/conversations/{name}/turns", {"input": LONG})["turn"]
        parts = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "say 1 tag=parts"}]
        call(up, f"/conversations/{name}/turns", {"input": parts})
        async with visit(up) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            await expect(waiting(page).get_by_role("button", name="Withdraw this message")).to_be_visible()
            await expect(waiting(page).get_by_role("button", name="Withdraw and edit")).to_have_count(0)
            call(up, f"/conversations/{name}/turns/{first}/cancel", {})
            await expect(replies(page)).to_have_count(2)
            assert watch.complaints == []

    play(main())
