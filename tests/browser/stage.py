"""A page in front of a whole Parley with the scripted upstream, and what a person does with it."""

import asyncio
import contextlib
import json
import re
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.browser.chromium import Watch, in_page, person
from tests.system.deployment import Deployment, deployment, upstream, workplace

PATIENCE = 30_000.0  # milliseconds
expect.set_options(timeout=PATIENCE)


@contextlib.contextmanager
def parley(*arguments: str, prefill: str = "llama", **env: str) -> Iterator[Deployment]:
    """``parley up`` with the scripted upstream."""
    with (
        workplace() as directory,
        upstream(directory, "--prefill", prefill) as url,
        deployment(directory, "--model-url", url, "--model", "scripted", *arguments, **env) as up,
    ):
        yield up


@contextlib.asynccontextmanager
async def visit(up: Deployment, **options: Any) -> AsyncIterator[tuple[BrowserContext, Watch]]:
    """A browser of one person; `Watch` hears what its pages complain about."""
    async with person(**options) as context:
        context.set_default_timeout(PATIENCE)
        yield context, Watch(context, up.url)


async def opened(context: BrowserContext, url: str) -> Page:
    """A page in which one can type."""
    page = await context.new_page()
    await page.goto(url)
    await expect(message(page)).to_be_visible()
    return page


def message(page: Page) -> Locator:
    """Where one types."""
    return page.get_by_role("textbox", name="Message", exact=True)


async def say(page: Page, text: str) -> None:
    """Type and press Enter."""
    await message(page).fill(text)
    await message(page).press("Enter")


def replies(page: Page) -> Locator:
    """The replies that are shown."""
    return page.get_by_role("article", name="Reply")


async def ended(page: Page, number: int = 0) -> None:
    """Wait until the reply of that number has ended."""
    await expect(replies(page).nth(number)).to_have_attribute("aria-busy", "false")


async def shown(page: Page, number: int = 0) -> str:
    """The text of a reply as it is shown, in one line."""
    return " ".join((await replies(page).nth(number).locator("> .prose").inner_text()).split())


async def shows(page: Page, text: str, number: int = 0) -> None:
    """Wait until a reply shows this, and nothing else."""
    await expect(replies(page).nth(number).locator("> .prose")).to_have_text(text, use_inner_text=True)


async def holds(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something that is asked for again and again is so."""
    deadline = asyncio.get_running_loop().time() + PATIENCE / 1000
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited in vain: {what}"
        await asyncio.sleep(0.05)


async def drawn(page: Page) -> None:
    """Wait until what was asked of the page has been drawn: it draws once a frame, as it does its media queries."""
    await in_page(page, "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


WITNESS = """(text) => {
  const thread = document.getElementById("thread");
  globalThis.witnessed = new Promise((done) => {
    const look = () => thread.innerText.includes(text) && done();
    new MutationObserver(look).observe(thread, {subtree: true, childList: true, characterData: true, attributes: true});
    look();
  });
}"""


@contextlib.asynccontextmanager
async def witnessed(page: Page, text: str) -> AsyncIterator[None]:
    """What is done here shows this among the messages, for however short a while: the page itself looks out for it."""
    await in_page(page, WITNESS, text)
    yield
    async with asyncio.timeout(PATIENCE / 1000):
        await in_page(page, "() => globalThis.witnessed")


async def copied(page: Page, text: str) -> None:
    """Wait until the clipboard holds this, but for white space around it."""

    async def there() -> bool:
        return str(await in_page(page, "() => navigator.clipboard.readText()")).strip() == text.strip()

    await holds(there, f"the clipboard to hold {text!r}")


async def named(page: Page) -> str:
    """The conversation's id, once the address tells it."""
    await page.wait_for_url(re.compile(r"/c/conv_[0-9a-f]{34}$"))
    return page.url.rpartition("/")[2]


def stored(up: Deployment, conversation: str, **headers: str) -> list[dict[str, Any]]:
    """The turns of a conversation as the server keeps them."""
    request = urllib.request.Request(f"{up.url}/api/conversations/{conversation}/turns", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        turns: list[dict[str, Any]] = json.loads(answer.read())["data"]
        return turns


def call(up: Deployment, path: str, body: dict[str, Any], **headers: str) -> Any:
    """POST JSON to the API."""
    named = {"content-type": "application/json"} | headers
    request = urllib.request.Request(f"{up.url}/api{path}", json.dumps(body).encode(), named)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def tokens(tag: str, count: int) -> str:
    """What the scripted upstream says, in one line."""
    return " ".join(f"{tag}:{at:04d}" for at in range(count))
