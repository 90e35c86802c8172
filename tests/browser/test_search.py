"""Search in titles, by mouse and by keyboard."""

from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.browser.chromium import in_page, modules, play
from tests.browser.stage import call, message, opened, parley, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
MANY = 120


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One with more conversations than the list shows at first."""
    with parley() as made:
        call(made, "/conversations", {"title": "Crème brûlée for eight"})
        for number in range(MANY):
            call(made, "/conversations", {"title": f"Talk number {number}"})
        call(made, "/conversations", {"title": "A journey to Lisbon"})
        yield made


def test_every_word_has_to_be_there_whatever_its_case_and_accents() -> None:
    async def main() -> None:
        async with modules() as page:
            script = "async ([title, query]) => (await import('/static/js/search.js')).matches(title, query)"
            for title, query, found in (
                ("Crème brûlée for eight", "creme EIGHT", True),
                ("Crème brûlée for eight", "eight brul", True),
                ("Crème brûlée for eight", "creme nine", False),
                ("ΑΘΗΝΑ", "αθήνα", True),
                ("日本の旅", "の旅", True),
                ("a.b", "a*b", False),
            ):
                assert await in_page(page, script, [title, query]) is found, (title, query)

    play(main())


def test_old_conversations_are_found_by_their_titles(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await expect(page.get_by_role("link", name="A journey to Lisbon")).to_be_visible()
            await expect(page.get_by_role("link", name="Crème brûlée for eight")).to_have_count(0)
            await page.keyboard.press("Control+k")
            field = page.get_by_role("searchbox", name="Search titles")
            await expect(field).to_be_focused()
            await page.keyboard.type("creme")
            await expect(page.locator("#conversations .title")).to_have_text(["Crème brûlée for eight"])
            await expect(page.locator("#found")).to_have_text("1 conversation")
            await page.keyboard.press("Enter")
            await expect(page).to_have_title("Crème brûlée for eight · Parley")
            await expect(message(page)).to_be_focused()
            # What is sought stays until it is cleared.
            await expect(page.locator("#conversations .title")).to_have_count(1)
            await page.keyboard.press("Control+k")
            await page.keyboard.type("nothing <b>like</b> it")
            await expect(page.locator("#conversations .title")).to_have_count(0)
            await expect(page.locator("#found")).to_have_text("No title has “nothing <b>like</b> it”.")
            await expect(page.locator("#found")).to_be_in_viewport()
            await page.keyboard.press("Escape")
            await expect(field).to_have_value("")
            await expect(page.get_by_role("link", name="A journey to Lisbon")).to_be_visible()
            await expect(page.locator("#found")).to_be_hidden()
            # The arrows walk through what was found.
            await page.keyboard.type("talk 11")
            await expect(page.locator("#conversations .title")).to_have_count(11)
            await page.keyboard.press("ArrowDown")
            await page.keyboard.press("ArrowDown")
            await expect(page.get_by_role("link", name="Talk number 118")).to_be_focused()
            await page.keyboard.press("ArrowUp")
            await page.keyboard.press("ArrowUp")
            await expect(field).to_be_focused()
            await page.keyboard.press("Control+Shift+O")
            await expect(message(page)).to_be_focused()
            await expect(page).to_have_url(f"{up.url}/")
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_on_a_phone_the_sheet_has_it(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up, color_scheme="dark", **PHONE) as (context, watch):
            page = await opened(context, up.url)
            await page.get_by_role("button", name="Show conversations").tap()
            await page.get_by_role("searchbox", name="Search titles").fill("lisbon")
            await expect(page.locator("#conversations .title")).to_have_text(["A journey to Lisbon"])
            await page.get_by_role("link", name="A journey to Lisbon").tap()
            await expect(page).to_have_title("A journey to Lisbon · Parley")
            await expect(page.get_by_role("navigation", name="Conversations")).to_have_count(0)
            assert await in_page(page, "() => document.documentElement.scrollWidth - innerWidth") == 0
            assert watch.complaints == []

    play(main())
