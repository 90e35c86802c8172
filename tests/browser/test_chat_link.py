"""The tutorial's address of a chat, `/chat/<token>`, in the page."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import expect
from websockets.asyncio.client import connect

from tests.browser.chromium import play
from tests.browser.stage import ended, named, opened, parley, replies, say, shows, tokens, visit
from tests.system.deployment import Deployment
from tests.system.test_seed_rows import token_of

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_b40_what_was_said_by_socket_is_there_after_a_refresh(up: Deployment) -> None:
    """S: the client cannot parse its frames, and never comes back. P: what was said is shown, and goes on."""

    async def main() -> None:
        token = await asyncio.to_thread(token_of, up)
        async with connect(f"{up.url.replace('http', 'ws', 1)}/chat?token={token}", proxy=None) as chat:
            await chat.send("say 2 tag=socket")
            async with asyncio.timeout(20):
                await chat.recv()
        async with visit(up) as (context, watch):
            page = await opened(context, f"{up.url}/chat/{token}")
            await ended(page)
            await named(page)  # the token does not stay in the address
            await shows(page, tokens("socket", 2))
            await say(page, "say 2 tag=page")
            await ended(page, 1)
            await page.reload()
            await expect(replies(page)).to_have_count(2)
            await shows(page, tokens("page", 2), 1)
            assert watch.complaints == []

    play(main())


def test_b40_a_token_that_is_over_leads_to_a_new_chat(up: Deployment) -> None:
    """S: the client opens its socket all the same. P: the page says that it is over, and begins a new one."""

    async def main() -> None:
        token = await asyncio.to_thread(token_of, up)
        assert token != UNKNOWN
        async with visit(up) as (context, _):
            page = await opened(context, f"{up.url}/chat/{UNKNOWN}")
            told = page.get_by_text("This chat has expired or does not exist. A new one begins here.").first
            await expect(told).to_be_visible()
            await expect(page).to_have_url(f"{up.url}/")
            await say(page, "say 2 tag=anew")
            await ended(page)
            await shows(page, tokens("anew", 2))

    play(main())
