"""The page below a path, in a program that mounts it."""

import pytest
from playwright.async_api import expect

from tests.browser.chromium import Watch, person, play
from tests.browser.stage import PATIENCE, ended, message, named, opened, replies, say, shows
from tests.library.test_app import shop
from tests.redis_servers import running as redis_running
from tests.system.deployment import workplace

pytestmark = pytest.mark.browser


def test_everything_a_person_does_stays_below_the_path() -> None:
    async def main(url: str) -> None:
        async with person() as context:
            context.set_default_timeout(PATIENCE)
            watch = Watch(context, f"{url}/chat")
            page = await opened(context, f"{url}/chat")  # without its slash
            await say(page, "good morning")
            await ended(page)
            await shows(page, "GOOD MORNING")
            conversation = await named(page)
            assert page.url == f"{url}/chat/c/{conversation}"
            await page.reload()
            await expect(replies(page)).to_have_count(1)
            await page.get_by_role("link", name="New conversation").first.click()
            await expect(replies(page)).to_have_count(0)
            await expect(page).to_have_url(f"{url}/chat/")
            await page.get_by_role("link", name="good morning").click()
            await expect(replies(page)).to_have_count(1)
            await message(page).wait_for()
            assert (watch.complaints, watch.requests) == ([], [])

    with redis_running() as redis, workplace() as directory:
        arguments = f"redis={redis.url!r}, prefix='below:'"
        with shop(directory, arguments, lifespan=True) as (url, _):
            play(main(url))
