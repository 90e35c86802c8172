"""A real Chromium for tests, and the page's modules in it without a server."""

import asyncio
import contextlib
import mimetypes
import shutil
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright

import parley.server

PAGE = Path(parley.server.__file__).parent / "page"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The Chromium of this machine, else the one Playwright has installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


class Shared:
    """One browser for test after test, on one loop, as to start it takes longer than most of them.

    A test that fails takes the browser with it: the next one gets another.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._stack = contextlib.AsyncExitStack()
        self._browser: Browser | None = None

    def play(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a test to its end."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            self._runner.run(main)
        except BaseException:
            self.close()
            raise

    async def browser(self) -> Browser:
        """The browser, which runs from here on."""
        if self._browser is None or not self._browser.is_connected():
            self._browser = await self._stack.enter_async_context(chromium())
        return self._browser

    def here(self) -> bool:
        """Whether who asks is played, and may use it."""
        return self._runner is not None and asyncio.get_running_loop() is self._runner.get_loop()

    def close(self) -> None:
        """End it, and all that goes on on its loop."""
        if self._runner is None:
            return
        runner, stack = self._runner, self._stack
        self._runner, self._stack, self._browser = None, contextlib.AsyncExitStack(), None
        with contextlib.suppress(Exception):
            runner.run(asyncio.wait_for(stack.aclose(), 20))
        runner.close()


shared = Shared()
play = shared.play


@contextlib.asynccontextmanager
async def person(**options: Any) -> AsyncIterator[BrowserContext]:
    """Somebody's browser, with nothing in it yet; for who is not played it is a process of its own."""
    async with contextlib.AsyncExitStack() as stack:
        browser = await (shared.browser() if shared.here() else stack.enter_async_context(chromium()))
        context = await browser.new_context(**options)
        stack.push_async_callback(context.close)
        yield context


class Watch:
    """Everything a page complains about, and every request that leaves for elsewhere."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._origin = origin
        context.on("console", lambda message: self._heard(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        context.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        context.on("request", lambda request: self._left(request.url))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "assert") or "Content Security Policy" in text:
            self.complaints.append(f"{kind}: {text}")

    def _left(self, url: str) -> None:
        if not url.startswith((self._origin, "data:", "blob:")):
            self.requests.append(url)


@contextlib.asynccontextmanager
async def modules() -> AsyncIterator[Page]:
    """An empty page that can import the modules, as ``/static/js/….js``."""

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix("http://page.test/").removeprefix("static/")
        kind = mimetypes.guess_type(path)[0] or "text/html"
        await route.fulfill(body=(PAGE / path).read_bytes() if path else b"", content_type=kind)

    async with person() as context:
        page = await context.new_page()
        await page.route("**/*", serve)
        await page.goto("http://page.test/")
        yield page


async def in_page(page: Page, script: str, argument: Any = None) -> Any:
    """The value of a function of the page, called with an argument; it may be asynchronous."""
    return await page.evaluate(script, argument)
