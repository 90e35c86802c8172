"""A long conversation: its last turns to begin with, and those before them for who goes up."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.chromium import play
from tests.browser.stage import call, drawn, holds, opened, parley, replies, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

TURNS = 70
OPENED = 30


def told(up: Deployment) -> str:
    """A conversation that is long."""
    name: str = call(up, "/conversations", {"title": "Long"})["id"]
    turns = [
        {
            "turn": f"{number:016x}",
            "parent": f"{number - 1:016x}" if number else "",
            "request": {"input": [{"role": "user", "content": f"Question {number}"}]},
            "status": "completed",
            "text": f"Answer {number}\n\n" + "It goes on for some lines.\n\n" * (number % 7),
        }
        for number in range(TURNS)
    ]
    call(up, f"/conversations/{name}/turns/restore", {"turns": turns})
    return name


async def top(page: Page, number: int) -> float:
    """Where a turn stands in the window."""
    return float(
        await page.locator(f'[data-turn="{number:016x}"]').evaluate("(turn) => turn.getBoundingClientRect().top")
    )


def test_what_was_said_before_comes_as_the_reader_goes_up_and_nothing_moves() -> None:
    async def main(up: Deployment) -> None:
        name = told(up)
        async with visit(up) as (context, watch):
            asked: list[str] = []
            context.on("request", lambda request: asked.append(request.url))
            page = await opened(context, f"{up.url}/c/{name}")
            await expect(replies(page)).to_have_count(OPENED)
            await expect(replies(page).first).to_contain_text(f"Answer {TURNS - OPENED}")
            end = "(element) => element.scrollHeight - element.scrollTop - element.clientHeight < 5"
            await holds(lambda: page.locator("#messages").evaluate(end), "the end to be in sight")
            assert not [url for url in asked if "before=" in url], "nobody went up"
            first = TURNS - OPENED
            await page.locator(f'[data-turn="{first:016x}"]').scroll_into_view_if_needed()
            await expect(replies(page)).to_have_count(2 * OPENED)
            await expect(page.locator(f'[data-turn="{first:016x}"]')).to_be_in_viewport()
            await drawn(page)
            assert 0 <= await top(page, first) < 600, "what was read stays in sight"
            await page.get_by_role("region", name="Messages").focus()
            await page.keyboard.press("Home")
            await expect(replies(page)).to_have_count(TURNS)
            await expect(page.get_by_role("button", name="Show earlier messages")).to_have_count(0)
            assert len([url for url in asked if "before=" in url]) == 2
            assert watch.complaints == []

    with parley() as up:
        play(main(up))
