"""The page of docs/how-to/react.md: `useChat` of the AI SDK in real Chromium, from another origin than Parley's."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.chromium import chromium
from tests.compat.node.stage import HERE, parley
from tests.compat.node.test_openai_browser import files
from tests.system.deployment import Deployment, workplace

HOW_TO = HERE.parents[2] / "docs" / "how-to" / "react.md"
TOKENS = 100
ASK = f"say {TOKENS} delay=0.03"
TEXT = "".join(f"t:{at:04d} " for at in range(TOKENS))
PATIENCE = 20_000.0  # milliseconds


def build(directory: Path, url: str) -> None:
    """Bundle the page as it stands in the documentation, for a server at that address."""
    found = re.search(r"```tsx\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert found is not None
    assert found[1].count("http://127.0.0.1:8000") == 1
    source = directory / "page.tsx"
    source.write_text(found[1].replace("http://127.0.0.1:8000", url))
    options = ["--bundle", "--format=esm", "--jsx=automatic", '--define:process.env.NODE_ENV="production"']
    subprocess.run(
        ["npx", "esbuild", str(source), *options, f"--outfile={directory / 'page.js'}", "--log-level=error"],
        cwd=HERE,
        env=os.environ | {"NODE_PATH": str(HERE / "node_modules")},
        check=True,
    )
    (directory / "index.html").write_text('<div id="app"></div><script type="module" src="page.js"></script>')


class Site:
    """The page at its origin, and the Parley that it speaks to."""

    def __init__(self, up: Deployment, origin: str) -> None:
        self.up = up
        self.origin = origin


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[tuple[Site, Page, Page]]:
    """Two pages of one browser that show one chat."""
    with workplace() as directory, files(directory) as origin, parley(PARLEY_ORIGINS=origin) as (up, _):
        build(directory, up.url)
        async with chromium() as browser:
            pages = [await browser.new_page() for _ in range(2)]
            for page in pages:
                page.set_default_timeout(PATIENCE)
                await page.goto(f"{origin}/index.html#chat")
            yield Site(up, origin), pages[0], pages[1]


async def ask(page: Page, text: str = ASK) -> None:
    """Type a message and send it."""
    await page.get_by_label("Message").fill(text)
    await page.get_by_role("button", name="Send").click()


async def shows(page: Page, texts: list[str]) -> None:
    """Wait until a page shows exactly these messages, and nothing is being written."""
    await expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=PATIENCE)
    await expect(page.get_by_role("article")).to_have_text([text.strip() for text in texts], timeout=PATIENCE)
    await expect(page.get_by_role("alert")).to_have_count(0)


async def begun(page: Page) -> None:
    """Wait until a page shows the beginning of the answer."""
    await expect(page.get_by_label("assistant")).to_contain_text("t:0010", timeout=PATIENCE)


def test_a_reload_in_mid_stream_shows_the_exact_text() -> None:
    async def main() -> None:
        async with site() as (_, page, other):
            await ask(page)
            await begun(page)
            await asyncio.gather(page.reload(), other.reload())
            await begun(other)
            await shows(page, [ASK, TEXT])
            await shows(other, [ASK, TEXT])
            await page.reload()
            await shows(page, [ASK, TEXT])
            await ask(page, "hello")
            await shows(page, [ASK, TEXT, "hello", "You said: hello (3 messages)"])

    asyncio.run(main())


def test_killed_processes_are_not_seen() -> None:
    async def main() -> None:
        async with site() as (at, page, other):
            await ask(page)
            await begun(page)
            await other.reload()
            for part in ("serve", "work"):
                for pid in at.up.parts(part):
                    os.kill(pid, signal.SIGKILL)
            await shows(page, [ASK, TEXT])
            await shows(other, [ASK, TEXT])

    asyncio.run(main())


def test_stop_and_resume_live_together() -> None:
    async def main() -> None:
        async with site() as (_, page, other):
            await ask(page, "say 2000 delay=0.03")
            await begun(page)
            await other.reload()
            await begun(other)
            await other.get_by_role("button", name="Stop").click()
            for each in (page, other):
                await expect(each.get_by_role("button", name="Send")).to_be_visible(timeout=PATIENCE)
            text = await page.get_by_label("assistant").inner_text()
            await expect(other.get_by_label("assistant")).to_have_text(text, use_inner_text=True, timeout=PATIENCE)
            await page.reload()
            await shows(page, ["say 2000 delay=0.03", text])

    asyncio.run(main())
