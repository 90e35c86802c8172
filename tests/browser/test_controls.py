"""What surrounds the messages: models, keys, the sheet on a phone, the keyboard, long conversations."""

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.chromium import in_page, play
from tests.browser.stage import (
    call,
    ended,
    holds,
    message,
    named,
    opened,
    parley,
    replies,
    say,
    shows,
    stored,
    tokens,
    visit,
)
from tests.system.deployment import Deployment, configuration, deployment, until, upstream, workplace

pytestmark = pytest.mark.browser

MODELS = """
[[models]]
name = "first"
url = "{url}"
model = "a"
[[models]]
name = "second"
url = "{url}"
model = "b"
[[assistants]]
name = "Capitals"
model = "second"
instructions = "Name the capital."
"""
WINDOW = {"width": 1000, "height": 700}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One with two models and an assistant."""
    with workplace() as directory, upstream(directory) as url:
        config = configuration(directory, MODELS.format(url=url))
        with deployment(directory, "--config", config) as made:
            yield made


def about(up: Deployment, conversation: str) -> dict[str, Any]:
    """A conversation as the server describes it."""
    with urllib.request.urlopen(f"{up.url}/api/conversations/{conversation}?turns=0", timeout=20) as answer:
        described: dict[str, Any] = json.loads(answer.read())["about"]
        return described


def test_the_picked_model_answers_and_other_tabs_see_the_choice(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            picker = page.get_by_role("combobox", name="Model")
            await expect(picker).to_have_value("model:first")
            await picker.select_option("second")
            await say(page, "say 1 tag=picked")
            await ended(page)
            conversation = await named(page)
            assert stored(up, conversation)[0]["model"] == "b"
            assert about(up, conversation)["model"] == "second"
            other = await opened(context, page.url)
            theirs = other.get_by_role("combobox", name="Model")
            await expect(theirs).to_have_value("model:second")
            await page.bring_to_front()
            await picker.select_option("Capitals")
            await expect(theirs).to_have_value("assistant:Capitals")
            assert about(up, conversation)["assistant"] == "Capitals"
            await picker.select_option("first")
            await expect(theirs).to_have_value("model:first")
            await say(page, "say 1 tag=again")
            await ended(page, 1)
            assert stored(up, conversation)[1]["model"] == "a"
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_the_access_key_is_asked_for_until_it_is_right() -> None:
    async def main() -> None:
        with parley(PARLEY_ACCESS_KEY="open-sesame") as up:
            async with visit(up) as (context, watch):
                page = await context.new_page()
                await page.goto(up.url)
                dialog = page.get_by_role("dialog", name="Access key")
                for key in ("wrong", "open-sesame"):
                    await expect(dialog).to_be_visible()
                    await dialog.get_by_role("textbox", name="Access key").fill(key)
                    await dialog.get_by_role("button", name="Continue").click()
                await expect(dialog).to_be_hidden()
                await say(page, "say 2 tag=in")
                await ended(page)
                await shows(page, tokens("in", 2))
                await page.reload()
                await ended(page)
                await expect(dialog).to_be_hidden()
                session = call(up, "/sessions", {"name": "Ada"}, authorization="Bearer open-sesame")["token"]
                theirs = await opened(context, f"{up.url}/chat/{session}")
                await expect(theirs).to_have_url(f"{up.url}/")
                await say(theirs, "say 2 tag=hers")
                await ended(theirs)
                await expect(theirs.get_by_role("navigation").get_by_role("link", name="tag=hers")).to_be_visible()
                await expect(theirs.get_by_role("navigation").get_by_role("link", name="tag=in")).to_have_count(0)
            async with visit(up) as (context, watch):
                page = await opened(context, f"{up.url}/?token=open-sesame")
                await expect(page.get_by_role("link", name="tag=in")).to_be_visible()
                await expect(page).to_have_url(f"{up.url}/")
                assert watch.complaints == []

    play(main())


def test_everything_is_reached_by_keyboard_and_has_a_name(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up, viewport=WINDOW) as (context, watch):
            page = await opened(context, up.url)
            await expect(message(page)).to_be_focused()
            await page.keyboard.type("say 2 tag=keys")
            await page.keyboard.press("Shift+Enter")
            await page.keyboard.type(" ")
            await expect(message(page)).to_have_value("say 2 tag=keys\n ")
            await page.keyboard.press("Enter")
            await ended(page)
            await expect(message(page)).to_be_focused()
            await named(page)
            seen: list[str] = []
            for _ in range(40):
                await page.keyboard.press("Tab")
                name = await in_page(page, "() => document.activeElement.outerHTML.slice(0, 300)")
                seen.append(name)
                assert await in_page(
                    page,
                    """() => {
                      const {activeElement: at} = document;
                      if (at === document.body) return true;
                      const style = getComputedStyle(at);
                      const ringed = style.outlineStyle !== "none" || at.id === "message";
                      const named = at.ariaLabel || at.textContent.trim() || at.id === "messages";
                      return Boolean(ringed && named && at.getClientRects().length);
                    }""",
                ), name
            for wanted in ("Copy reply", "Ask again", "New conversation", "Hide conversations", 'id="model"', "skip"):
                assert any(wanted in name for name in seen), wanted
            await expect(page.locator("main")).to_match_aria_snapshot(
                """
                - main:
                  - heading "say 2 tag=keys" [level=1]
                  - region "Messages":
                    - article "You": say 2 tag=keys
                    - article "Reply"
                  - textbox "Message"
                  - button "Send" [disabled]
                """
            )
            assert watch.complaints == []

    play(main())


def test_on_a_phone_the_list_is_a_sheet(up: Deployment) -> None:
    async def main() -> None:
        call(up, "/conversations", {"title": "Somewhere to go"})
        async with visit(up, **PHONE) as (context, watch):
            page = await opened(context, up.url)
            sidebar = page.get_by_role("navigation", name="Conversations")
            link = page.get_by_role("link", name="Somewhere to go")
            opener = page.get_by_role("button", name="Show conversations")
            await expect(sidebar).to_have_count(0)
            await opener.tap()
            await expect(link).to_be_in_viewport()
            await expect(page.locator("main")).to_have_attribute("inert", "")
            await page.keyboard.press("Escape")
            await expect(sidebar).to_have_count(0)
            await expect(opener).to_be_focused()
            await opener.tap()
            await link.tap()
            await expect(page).to_have_title("Somewhere to go · Parley")
            await expect(sidebar).to_have_count(0)
            wide = await in_page(page, "() => document.documentElement.scrollWidth - innerWidth")
            assert wide == 0, "nothing sticks out"
            assert watch.complaints == []

    play(main())


async def at_end(page: Page) -> bool:
    """Whether the last line is in sight."""
    script = "(element) => element.scrollHeight - element.scrollTop - element.clientHeight"
    return float(await page.locator("#messages").evaluate(script)) < 60


async def until_at_end(page: Page) -> None:
    await holds(lambda: at_end(page), "the end to be in sight")


async def rested(page: Page) -> float:
    """Where the messages stand once they have stood there for some frames; a wheel rolls them over several."""
    script = """() => new Promise((done) => {
      const messages = document.getElementById("messages");
      let [top, frames] = [-1, 0];
      const look = () => {
        frames = messages.scrollTop === top ? frames + 1 : 0;
        top = messages.scrollTop;
        if (frames < 20) requestAnimationFrame(look);
        else done(top);
      };
      look();
    })"""
    return float(await in_page(page, script))


def test_a_long_conversation_opens_at_its_end_and_stays_there_unless_the_reader_leaves(up: Deployment) -> None:
    async def main() -> None:
        name = call(up, "/conversations", {"title": "Long"})["id"]
        for number in range(70):
            call(up, f"/conversations/{name}/turns", {"input": f"say 40 tag=n{number}"})
            until(lambda: stored(up, name)[-1]["status"] == "completed", what="the reply")
        async with visit(up, viewport=WINDOW) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            await expect(replies(page)).to_have_count(30)
            await until_at_end(page)
            # The reader goes up; a reply does not pull them down.
            await page.locator("#messages").hover()
            await page.mouse.wheel(0, -1500)
            jump = page.get_by_role("button", name="Jump to the end")
            await expect(jump).to_be_visible()
            await message(page).fill("")
            before = await rested(page)
            call(up, f"/conversations/{name}/turns", {"input": "say 300 tag=more delay=0.002"})
            await expect(replies(page).last).to_contain_text("more:0299")
            assert abs(await rested(page) - before) < 5
            await jump.click()
            await until_at_end(page)
            await expect(jump).to_be_hidden()
            # At the end, it keeps the reply's end in sight.
            await say(page, "say 600 tag=down delay=0.002")
            for at in (100, 300, 599):
                await expect(replies(page).last).to_contain_text(f"down:{at:04d}")
                await until_at_end(page)
            # Going up leads to what was said before.
            await page.get_by_role("region", name="Messages").focus()
            for count in (62, 72):
                await page.keyboard.press("Home")
                await expect(replies(page)).to_have_count(count)
            await expect(replies(page).first).to_have_text(re.compile(tokens("n0", 40)))
            assert watch.complaints == []

    play(main())
