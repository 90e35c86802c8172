"""What the page asks for: twenty requests to open it, and the rest of it when somebody wants that."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.chromium import PAGE, Watch, chromium, play
from tests.browser.proxy import Proxy
from tests.browser.stage import PATIENCE, call, ended, message, named, opened, parley, replies, say, visit
from tests.library.test_app import shop
from tests.redis_servers import running as redis_running
from tests.system.deployment import Deployment, workplace

pytestmark = pytest.mark.browser

MOST = 20
ASKED = re.compile(rb"(?m)^(?:GET|POST|PATCH|DELETE) (\S+) HTTP/1\.1\r$")
PRELOADED = set(re.findall(r'<link rel="modulepreload" href="/static/([^"]+)"', (PAGE / "index.html").read_text()))
# What draws a turn.
DRAWING = {
    f"js/{name}.js" for name in ("turn", "status", "markdown", "inline", "grammar", "mend", "paint", "trouble")
} | {"vendor/marked.js"}  # fmt: skip


class Counter(Proxy):
    """Hears what is asked for by the browser itself, too: no page hears of its icon and its manifest."""

    @property
    def asked(self) -> list[str]:
        """The paths, a file's without its version."""
        found = [path.decode() for said in self.said for path in ASKED.findall(bytes(said))]
        return [re.sub(r"/static/(?:[0-9a-f]{12}/)?", "", path) for path in found]


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    with parley() as made:
        yield made


async def still(context: BrowserContext) -> None:
    """Let no time pass for the page's own clock, so that it does not ask once more however slow the machine is."""
    await context.clock.set_fixed_time(1_800_000_000_000)


async def settled(page: Page, counter: Counter) -> list[str]:
    """What was asked for once the page is connected, knows what there is, and has nothing left to do."""
    await expect(page.locator("#model")).to_be_visible()
    await expect(page.locator("#conversations > *").first).to_be_visible()
    async with asyncio.timeout(PATIENCE / 1000):
        while not any(path.endswith("/socket") for path in counter.asked):
            await asyncio.sleep(0.02)
    await page.wait_for_load_state("networkidle")
    await page.evaluate("() => new Promise((done) => requestIdleCallback(done))")
    asked = counter.asked
    # A browser without a window asks for neither.
    return asked + [path for path in ("icon.svg", "app.webmanifest") if path not in asked]


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_a_first_look_needs_twenty_requests(up: Deployment, locale: str) -> None:
    async def main() -> None:
        counter = Counter(up.port)
        async with counter.running() as url, visit(up, locale=locale) as (context, _):
            watch = Watch(context, url)
            await still(context)
            page = await context.new_page()
            await page.goto(url)
            asked = await settled(page, counter)
            print(len(asked), asked)
            assert len(asked) <= MOST
            assert len(asked) == len(set(asked)), "nothing twice"
            assert {path for path in asked if path.endswith(".js")} == PRELOADED | {"js/main.js"}
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_a_conversation_needs_what_draws_it_once(up: Deployment) -> None:
    names = [call(up, "/conversations", {"title": f"Number {at}"})["id"] for at in range(2)]

    async def main() -> None:
        counter = Counter(up.port)
        async with counter.running() as url, visit(up) as (context, _):
            await still(context)
            page = await context.new_page()
            await page.goto(url)
            before = await settled(page, counter)
            await page.get_by_role("link", name="Number 0").click()
            await page.wait_for_url(f"**/c/{names[0]}")
            async with asyncio.timeout(PATIENCE / 1000):
                while not set(counter.asked) >= DRAWING:
                    await asyncio.sleep(0.02)
            assert set(counter.asked) - set(before) == DRAWING
            await page.get_by_role("link", name="Number 1").click()
            await page.wait_for_url(f"**/c/{names[1]}")
            await page.wait_for_load_state("networkidle")
            assert len(counter.asked) == len(set(counter.asked)), "nothing twice"
            # By its address: that, and all a first look needs.
            await page.close()
            count = len(counter.asked)
            async with visit(up) as (other, _):
                await still(other)
                page = await other.new_page()
                await page.goto(f"{url}/c/{names[0]}")
                await expect(page).to_have_title("Number 0 · Parley")
                async with asyncio.timeout(PATIENCE / 1000):
                    while not set(counter.asked[count:]) >= DRAWING:
                        await asyncio.sleep(0.02)
                await settled(page, counter)
                late = counter.asked[count:]
                print(len(late), late)
                assert len(late) <= MOST + len(DRAWING)
                assert len(late) == len(set(late)), "nothing twice"

    play(main())


def test_what_is_used_first_is_fetched_then_and_once(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            asked: list[str] = []
            context.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
            page = await opened(context, up.url)
            await say(page, "say 3 tag=late")
            await ended(page)
            await named(page)
            button = page.get_by_role("button", name="Settings", exact=True)
            for _ in range(2):
                await button.click()
                await page.get_by_role("dialog", name="Settings").get_by_role("button", name="Close").click()
            await page.get_by_role("button", name="Share", exact=True).click()
            await page.get_by_role("button", name="Close", exact=True).click()
            await page.get_by_role("button", name="More", exact=True).click()
            await page.get_by_role("button", name="Instructions and parameters").click()
            await page.get_by_role("button", name="Cancel").click()
            await replies(page).hover()
            await page.get_by_role("button", name="Tokens and timings").click()
            await expect(page.get_by_text("Tokens written")).to_be_visible()
            await page.get_by_role("article", name="You").hover()
            await page.get_by_role("button", name="Edit message").click()
            await page.get_by_role("textbox", name="Edit message").press("Escape")
            await page.keyboard.press("Control+k")
            await page.keyboard.type("nothing has this name")
            await expect(page.get_by_text("No title has")).to_be_visible()
            for name in ("preferences", "share", "settings", "story", "edit", "search"):
                assert asked.count(f"{name}.js") == 1, name
            assert not {
                f"{name}.js" for name in ("export", "import", "source", "embedded", "storage", "deletion")
            } & set(asked)
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_where_it_cannot_be_fetched_the_reader_is_told_and_may_try_again(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, _):
            page = await opened(context, up.url)
            await context.set_offline(True)
            await page.get_by_role("button", name="Settings", exact=True).click()
            note = page.get_by_text("This part of the page could not be fetched: the server is out of reach.")
            await expect(note).to_be_visible()
            await context.set_offline(False)
            await page.get_by_role("button", name="Try again").click()
            await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
            await expect(note).to_have_count(0)

    play(main())


def test_below_a_path_it_is_fetched_from_there() -> None:
    async def main(url: str) -> None:
        async with chromium() as browser:
            context = await browser.new_context()
            context.set_default_timeout(PATIENCE)
            watch = Watch(context, f"{url}/chat")
            page = await opened(context, f"{url}/chat/")
            await message(page).fill("soon")
            await page.get_by_role("button", name="Settings", exact=True).click()
            await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
            await page.keyboard.press("Escape")
            await message(page).press("Enter")
            await ended(page)
            await expect(replies(page)).to_contain_text("SOON")
            assert (watch.complaints, watch.requests) == ([], [])

    with (
        redis_running() as redis,
        workplace() as directory,
        shop(directory, f"redis={redis.url!r}, prefix='late:'", lifespan=True) as (url, _),
    ):
        play(main(url))
