"""What replies are made with: instructions and parameters, of a conversation that is there and of a new one."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import in_page, play
from tests.browser.stage import call, ended, message, named, opened, parley, replies, say, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


def described(up: Deployment, conversation: str) -> dict[str, Any]:
    """What a conversation's replies are made with."""
    with urllib.request.urlopen(f"{up.url}/api/conversations/{conversation}/description", timeout=20) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return {name: found[name] for name in ("instructions", "parameters")}


async def settings(page: Page) -> Locator:
    """The dialog, open."""
    await page.get_by_role("button", name="More", exact=True).click()
    await page.get_by_role("button", name="Instructions and parameters").click()
    dialog = page.get_by_role("dialog", name="Instructions and parameters")
    await expect(dialog).to_be_visible()
    return dialog


def test_they_are_kept_and_shown_to_the_model(up: Deployment) -> None:
    async def main() -> None:
        body = {"title": "T", "instructions": "Be brief.", "parameters": {"temperature": 0.5, "seed": 7}}
        name = call(up, "/conversations", body)["id"]
        async with visit(up) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            dialog = await settings(page)
            text = dialog.get_by_role("textbox", name="Instructions")
            await expect(text).to_have_value("Be brief.")
            await expect(text).to_be_focused()
            temperature = dialog.get_by_role("spinbutton", name="Temperature")
            await expect(temperature).to_have_value("0.5")
            # What cannot be is not sent, and the browser says why.
            await temperature.fill("3")
            await temperature.press("Enter")
            await expect(dialog).to_be_visible()
            await temperature.fill("1.25")
            await dialog.get_by_role("spinbutton", name="Longest reply").fill("400")
            await text.fill("Be very brief.\nBe kind.")
            await dialog.get_by_role("button", name="Save").click()
            await expect(dialog).to_be_hidden()
            await expect(page.get_by_role("button", name="More", exact=True)).to_be_focused()
            asked = {"temperature": 1.25, "max_tokens": 400, "seed": 7}
            assert described(up, name) == {"instructions": "Be very brief.\nBe kind.", "parameters": asked}
            await say(page, "Hello")
            await expect(replies(page)).to_contain_text("You said: Hello (2 messages)")
            # Escape changes nothing, and stops nothing.
            dialog = await settings(page)
            await expect(text).to_have_value("Be very brief.\nBe kind.")
            await text.fill("")
            await page.keyboard.press("Escape")
            await expect(dialog).to_be_hidden()
            dialog = await settings(page)
            await expect(text).to_have_value("Be very brief.\nBe kind.")
            for field in (text, temperature, dialog.get_by_role("spinbutton", name="Longest reply")):
                await field.fill("")
            await dialog.get_by_role("button", name="Save").click()
            await expect(dialog).to_be_hidden()
            assert described(up, name) == {"instructions": "", "parameters": {"seed": 7}}
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_a_new_conversation_begins_with_them_and_the_next_one_does_not(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up, color_scheme="dark", **PHONE) as (context, watch):
            page = await opened(context, up.url)
            dialog = await settings(page)
            await dialog.get_by_role("textbox", name="Instructions").fill("Answer in verse.")
            assert await in_page(page, "() => document.documentElement.scrollWidth - innerWidth") == 0
            await dialog.get_by_role("button", name="Save").tap()
            await say(page, "Hello")
            await expect(replies(page)).to_contain_text("You said: Hello (2 messages)")
            assert described(up, await named(page)) == {"instructions": "Answer in verse.", "parameters": {}}
            await page.get_by_role("main").get_by_role("link", name="New conversation").tap()
            await expect(replies(page)).to_have_count(0)
            await say(page, "Hello")
            await expect(replies(page)).to_contain_text("You said: Hello (1 messages)")
            await ended(page)
            assert watch.complaints == []

    play(main())


def test_a_server_out_of_reach_changes_nothing_and_is_told(up: Deployment) -> None:
    async def main() -> None:
        name = call(up, "/conversations", {"title": "T", "instructions": "Be brief."})["id"]
        async with visit(up) as (context, _):
            page = await opened(context, f"{up.url}/c/{name}")
            dialog = await settings(page)
            text = dialog.get_by_role("textbox", name="Instructions")
            await expect(text).to_have_value("Be brief.")
            await context.set_offline(True)
            await text.fill("Be long.")
            await dialog.get_by_role("button", name="Save").click()
            await expect(dialog.get_by_role("alert")).to_have_text("The server is out of reach. Nothing was changed.")
            await expect(text).to_have_value("Be long.")
            assert described(up, name)["instructions"] == "Be brief."
            await context.set_offline(False)
            await dialog.get_by_role("button", name="Save").click()
            await expect(dialog).to_be_hidden()
            assert described(up, name)["instructions"] == "Be long."
            await expect(message(page)).to_be_visible()

    play(main())
