"""`<parley-chat>` in somebody else's page, at another site than Parley's."""

import asyncio
import contextlib
import functools
import http.server
import json
import subprocess
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, FrameLocator, Page, expect

from tests.browser.chromium import Watch, play
from tests.browser.stage import holds, tokens, visit
from tests.system.deployment import Deployment, configuration, deployment, environment, upstream, workplace
from tests.tutorial import blocks, matches

pytestmark = pytest.mark.browser

KEY = "the-key-of-a-shop"
ROOT = Path(__file__).parents[2]
HOW_TO = dict(blocks((ROOT / "docs" / "how-to" / "embed.md").read_text()))
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
name = "capitals"
model = "second"
instructions = "Name the capital."
"""
# The shop's own policy lets in what it uses of Parley, and nothing else.
SHOP = """<!doctype html><html lang="en"><title>Shop</title>
<meta http-equiv="content-security-policy" content="default-src 'none'; script-src {url}; frame-src {url}">
<h1>Shop</h1>{element}</html>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (as it is called there)
        """Nobody reads it."""


@contextlib.contextmanager
def shop(directory: Path) -> Iterator[str]:
    """A site with the files of a folder; by name, so that it is another site than 127.0.0.1 to a browser."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Place:
    """A shop, and the Parley that lets it embed."""

    def __init__(self, directory: Path, origin: str, up: Deployment) -> None:
        self.directory, self.origin, self.up = directory, origin, up

    def page(self, attributes: str) -> str:
        """The address of a page with an element that has these attributes."""
        told = HOW_TO["html"].replace("http://127.0.0.1:8000", self.up.url)
        assert 'assistant="capitals"' in told
        element = told.replace('assistant="capitals"', attributes)
        (self.directory / "index.html").write_text(SHOP.format(url=self.up.url, element=element))
        return f"{self.origin}/index.html"

    @contextlib.asynccontextmanager
    async def open(self, attributes: str) -> AsyncIterator[tuple[BrowserContext, Page, FrameLocator, Watch]]:
        """A visitor's browser on that page; the frame in it."""
        async with visit(self.up) as (context, watch):
            page = await context.new_page()
            await page.goto(self.page(attributes))
            yield context, page, inside(page), watch


def inside(page: Page) -> FrameLocator:
    """What the frame shows: locators look into open shadow roots."""
    return page.frame_locator('iframe[title="Chat"]')


@contextlib.contextmanager
def place(**env: str) -> Iterator[Place]:
    with workplace() as directory, upstream(directory) as url, shop(directory) as origin:
        setting = HOW_TO["toml"].replace("https://shop.example", origin)
        config = configuration(directory, setting + MODELS.format(url=url))
        with deployment(directory, "--config", config, **env) as up:
            yield Place(directory, origin, up)


async def say(frame: FrameLocator, text: str) -> None:
    """Type and press Enter."""
    message = frame.get_by_role("textbox", name="Message", exact=True)
    await message.fill(text)
    await message.press("Enter")


def conversations(up: Deployment) -> list[dict[str, str]]:
    """The conversations there are."""
    with urllib.request.urlopen(f"{up.url}/api/conversations", timeout=20) as answer:
        found: list[dict[str, str]] = json.loads(answer.read())["data"]
        return found


def session_of(up: Deployment) -> dict[str, str]:
    """What the command of the documentation prints."""
    shell = HOW_TO["sh"].replace("http://127.0.0.1:8000", up.url)
    env = environment(PARLEY_ACCESS_KEY=KEY)
    ran = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, check=True, timeout=30)
    assert matches(HOW_TO["text"], ran.stdout)
    told: dict[str, str] = json.loads(ran.stdout)
    return told


def complaints(watch: Watch) -> list[str]:
    """What is wrong. A browser also tells that a frame must not take the focus, which nobody asked for."""
    return [line for line in watch.complaints if "autofocus" not in line]


async def heard(watch: Watch, *words: str) -> None:
    """Wait until a browser complains in one of these words."""

    async def complained() -> bool:
        return any(word in line for line in watch.complaints for word in words)

    await holds(complained, f"complaints about {words}")


def test_a_visitor_talks_to_the_assistant_and_finds_the_reply_again() -> None:
    async def main() -> None:
        with place() as at:
            async with at.open('assistant="capitals"') as (_, page, frame, watch):
                await say(frame, "say 300 tag=kept delay=0.01")
                replies = frame.get_by_role("article", name="Reply")
                await expect(replies).to_contain_text("kept:0020")
                await expect(frame.get_by_role("navigation", name="Conversations")).to_have_count(0)
                await page.reload()
                await expect(replies).to_contain_text("kept:0020")
                await expect(replies).to_have_attribute("aria-busy", "false")
                await expect(replies.locator("> .prose")).to_have_text(tokens("kept", 300), use_inner_text=True)
                assert await page.evaluate("document.querySelector('iframe')") is None, "it is in a shadow root"
                outside = [each for each in watch.requests if not each.startswith(at.origin)]
                assert (complaints(watch), outside) == ([], [])
            (listed,) = await asyncio.to_thread(conversations, at.up)
            assert (listed["assistant"], listed["title"]) == ("capitals", "say 300 tag=kept delay=0.01")

    play(main())


def test_visitors_of_a_server_with_a_key_have_a_session_each() -> None:
    async def main() -> None:
        with place(PARLEY_ACCESS_KEY=KEY) as at:
            session = await asyncio.to_thread(session_of, at.up)
            async with at.open(f'token="{session["token"]}"') as (_, page, frame, watch):
                await say(frame, "say 3 tag=mine")
                await expect(frame.get_by_role("article", name="Reply")).to_contain_text("mine:0002")
                assert complaints(watch) == []

                async def unnamed() -> bool:
                    return not any(session["token"] in each.url for each in page.frames)

                await holds(unnamed, "the token to leave the address")
            async with at.open("") as (_, page, frame, _):
                await expect(frame.get_by_role("dialog", name="Access key")).to_be_visible()

    play(main())


def test_pages_of_other_origins_get_neither_the_script_nor_the_frame() -> None:
    async def main() -> None:
        with place() as at, workplace() as elsewhere, shop(elsewhere) as stranger:
            for name, text in (
                ("script.html", f'<script type="module" src="{at.up.url}/embed.js"></script>'),
                ("frame.html", f'<iframe src="{at.up.url}/embed"></iframe>'),
            ):
                (elsewhere / name).write_text(f"<!doctype html><title>x</title>{text}")
            async with visit(at.up) as (context, watch):
                page = await context.new_page()
                await page.goto(f"{stranger}/script.html")
                await heard(watch, "CORS policy", "403")
                assert await page.evaluate("customElements.get('parley-chat') === undefined")
                watch.complaints.clear()
                await page.goto(f"{stranger}/frame.html")
                await heard(watch, "frame-ancestors")
                assert await page.frames[1].evaluate("document.querySelector('#message') === null")
                # Who may embed may not speak to the API for that.
                await page.goto(at.page(""))
                asked = "fetch(url, {mode: 'cors'}).then(() => 'answered', () => 'refused')"
                refused = await page.evaluate(f"url => {asked}", f"{at.up.url}/api/models")
                assert refused == "refused"

    play(main())
