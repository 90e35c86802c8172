"""The operator's colours, name and logo, in every page there is."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from parley.server.theme import read
from tests.browser.chromium import Watch, in_page, person, play
from tests.browser.stage import PATIENCE, call, ended, holds, opened, parley, say, visit
from tests.browser.test_embed import SHOP, complaints
from tests.browser.test_embed import shop as site
from tests.library.test_app import shop
from tests.redis_servers import running as redis_running
from tests.server.shared import shared
from tests.system.deployment import Deployment, until, workplace
from tests.tutorial import blocks

pytestmark = pytest.mark.browser

EXAMPLE = dict(blocks((Path(__file__).parents[2] / "docs" / "how-to" / "theme.md").read_text()))["css"]
PAPER = {"light": "rgb(251, 253, 253)", "dark": "rgb(15, 23, 25)"}
DRAWN = "(images) => images.length > 0 && images.every((one) => one.complete && one.naturalWidth > 0)"


class Place:
    """A Parley with a theme, and a site that may embed it."""

    def __init__(self, up: Deployment, origin: str, folder: Path) -> None:
        self.up, self.origin, self.folder = up, origin, folder


@pytest.fixture(scope="module")
def at() -> Iterator[Place]:
    with workplace() as folder, site(folder) as origin:
        (folder / "theme.css").write_text(EXAMPLE)
        with parley("--theme", str(folder / "theme.css"), "--embed-origin", origin) as up:
            yield Place(up, origin, folder)


async def paper(page: Page, colour: str) -> None:
    """Wait until this is behind everything."""
    await expect(page.locator("body")).to_have_css("background-color", colour)


async def drawn(logos: Locator, count: int) -> None:
    """Wait until there are as many pictures, and each is one."""

    async def all_drawn() -> bool:
        return await logos.count() == count and bool(await logos.evaluate_all(DRAWN))

    await holds(all_drawn, f"{count} logos to be drawn")


def test_the_page_wears_it(at: Place) -> None:
    async def main() -> None:
        async with visit(at.up, color_scheme="light") as (context, watch):
            page = await opened(context, at.up.url)
            await paper(page, PAPER["light"])
            await page.emulate_media(color_scheme="dark")
            await paper(page, PAPER["dark"])
            await expect(page).to_have_title("Harbour")
            await expect(page.get_by_role("link", name="Harbour", exact=True)).to_be_visible()
            await expect(page.get_by_role("heading", level=1, name="Harbour")).to_be_attached()
            await drawn(page.locator(".logo:visible"), 2)
            await say(page, "say 3 tag=worn")
            await ended(page)
            await expect(page).to_have_title("say 3 tag=worn · Harbour")
            await drawn(page.locator(".logo:visible"), 1)
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_what_the_reader_chooses_comes_first(at: Place) -> None:
    async def main() -> None:
        async with visit(at.up, color_scheme="light") as (context, _):
            page = await opened(context, at.up.url)
            await page.get_by_role("button", name="Settings", exact=True).click()
            appearance = page.get_by_label("Appearance")
            for choice, colour in (("dark", PAPER["dark"]), ("contrast", "rgb(255, 255, 255)"), ("", PAPER["light"])):
                await appearance.select_option(choice)
                await paper(page, colour)
            await expect(page.locator("#sidebar")).to_have_css("background-color", "rgb(238, 245, 245)")
            await page.emulate_media(contrast="more")
            await expect(page.locator("#hint")).to_have_css("color", "rgb(18, 40, 43)")  # as its text, which is darker

    play(main())


def test_a_shared_conversation_wears_it(at: Place) -> None:
    async def main() -> None:
        made = call(at.up, "/conversations", {"title": "For all"})["id"]
        token = call(at.up, f"/conversations/{made}/share", {})["token"]
        async with visit(at.up, color_scheme="dark") as (context, watch):
            page = await context.new_page()
            await page.goto(f"{at.up.url}/s/{token}")
            await expect(page).to_have_title("For all · Harbour")
            await paper(page, PAPER["dark"])
            await expect(page.locator(".logo:visible")).to_have_count(0)
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_an_embedded_chat_wears_it(at: Place) -> None:
    async def main() -> None:
        element = f'<script type="module" src="{at.up.url}/embed.js"></script><parley-chat></parley-chat>'
        (at.folder / "index.html").write_text(SHOP.format(url=at.up.url, element=element))
        async with visit(at.up, color_scheme="light") as (context, watch):
            page = await context.new_page()
            await page.goto(f"{at.origin}/index.html")
            frame = page.frame_locator('iframe[title="Chat"]')
            await expect(frame.locator("body")).to_have_css("background-color", PAPER["light"])
            await drawn(frame.locator(".logo:visible"), 1)
            assert complaints(watch) == []

    play(main())


def test_a_server_that_is_started_again_has_what_the_first_one_had(at: Place) -> None:
    (at.folder / "theme.css").write_text(":root { --name: ")
    [first] = at.up.parts("serve")
    os.kill(first, signal.SIGKILL)
    until(lambda: at.up.parts("serve") not in ([], [first]), what="another web server")
    at.up.await_ready()

    async def main() -> None:
        async with visit(at.up) as (context, _):
            page = await opened(context, at.up.url)
            await expect(page).to_have_title("Harbour")

    play(main())


class Elsewhere(BaseHTTPRequestHandler):
    """Another host, which counts who asks it."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (as it is called there)
        """Nobody reads it."""


def test_nobody_else_is_asked_whatever_stands_in_it() -> None:
    async def main(url: str, foreign: str) -> None:
        async with person() as context:
            context.set_default_timeout(PATIENCE)
            watch = Watch(context, url)
            page = await opened(context, url)
            await expect(page).to_have_title("Nosy")
            for kind in ("style-src", "img-src", "font-src"):

                async def refused(kind: str = kind) -> bool:
                    return any(kind in line and foreign in line for line in watch.complaints)

                await holds(refused, f"the browser to refuse by {kind}")

    asked: list[str] = []
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), type("Counting", (Elsewhere,), {"asked": asked}))
    thread = threading.Thread(target=elsewhere.serve_forever, daemon=True)
    thread.start()
    foreign = f"http://127.0.0.1:{elsewhere.server_address[1]}"
    theme = read(
        f"""@import "{foreign}/more.css";
        @font-face {{ font-family: nosy; src: url({foreign}/font.woff2); }}
        :root {{ --name: "Nosy"; --sans: nosy; }}
        body {{ background: url({foreign}/pixel.png); }}""".encode()
    )
    assert len(theme.notes) == 3
    try:
        with shared(theme=theme) as server:
            play(main(f"http://{server.host}", foreign))
        assert asked == []
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()
        thread.join()


def test_below_a_path_it_is_fetched_from_there() -> None:
    async def main(url: str) -> None:
        async with person(color_scheme="dark") as context:
            context.set_default_timeout(PATIENCE)
            watch = Watch(context, f"{url}/chat")
            page = await opened(context, f"{url}/chat/")
            await paper(page, PAPER["dark"])
            await drawn(page.locator(".logo:visible"), 2)
            icon, manifest = (page.locator(f'link[rel="{kind}"]') for kind in ("icon", "manifest"))
            await expect(icon).to_have_attribute("href", re.compile(r"^/chat/static/\w{12}/logo\.svg$"))
            told = await in_page(
                page, "async (path) => (await fetch(path)).json()", await manifest.get_attribute("href")
            )
            assert told["name"] == "Harbour"
            await expect(page).to_have_title("Harbour")
            assert (watch.complaints, watch.requests) == ([], [])

    with redis_running() as redis, workplace() as directory:
        (directory / "theme.css").write_text(EXAMPLE)
        arguments = f"redis={redis.url!r}, prefix='worn:', theme='theme.css'"
        with shop(directory, arguments, lifespan=True) as (url, _):
            play(main(url))
