"""F17 in the page: a message whose receipt stood on memory alone is held, and said again when Redis forgot it."""

import asyncio
import json
import os
import signal
from typing import Any

from playwright.async_api import Page

from tests.browser.chromium import in_page
from tests.browser.stage import ended, holds, named, opened, parley, say, shows, stored, tokens, visit
from tests.faults.figures import figure
from tests.faults.test_redis_hurt import appended, set_back
from tests.redis_servers import Server, running


async def kept(page: Page) -> list[dict[str, Any]]:
    """What is in the page's outbox."""
    items: list[dict[str, Any]] = json.loads(await in_page(page, "() => sessionStorage['parley.outbox'] || '[]'"))
    return items


async def let_go(page: Page) -> None:
    """Wait until there is nothing in it."""

    async def empty() -> bool:
        return not await kept(page)

    await holds(empty, "the outbox to be empty")


async def stopped_while_held(page: Page, redis: Server, text: str) -> bool:
    """Say something, and stop Redis behind the receipt. Tells whether the page held the message all the time."""

    async def held() -> bool:
        return not (items := await kept(page)) or items[0]["state"] == "held"

    await say(page, text)
    await holds(held, "a receipt")
    os.kill(redis.pid, signal.SIGSTOP)
    if await kept(page):
        return True
    # This machine was slow: the message is let go of by now.
    os.kill(redis.pid, signal.SIGCONT)
    return False


def test_a_message_that_redis_forgot_is_said_again() -> None:
    """It comes back by itself, is answered once, and let go when the server knows it still."""

    async def story(redis: Server) -> None:
        with parley(PARLEY_REDIS=redis.url) as up:
            async with visit(up) as (context, _):
                page = await opened(context, up.url)
                await say(page, "say 3 tag=first")
                conversation = await named(page)
                await ended(page)
                await let_go(page)
                number = 1
                while True:
                    before = appended(redis).stat().st_size
                    if await stopped_while_held(page, redis, f"say 3 tag=n{number}"):
                        break
                    await ended(page, number)
                    number += 1
                lost = await set_back(redis, before)
                await shows(page, tokens(f"n{number}", 3), number)
                await let_go(page)
                said = [turn["text"].split(":")[0] for turn in stored(up, conversation)]
                assert said == ["first", *(f"n{at}" for at in range(1, number + 1))]
                figure("F17", what="in the page", bytes_lost=lost, said_again=1)

    with running() as redis:
        asyncio.run(story(redis))
