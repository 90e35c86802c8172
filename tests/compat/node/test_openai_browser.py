"""The official OpenAI client in Chromium, in a page of another origin, against ``parley up``."""

import asyncio
import contextlib
import functools
import http.server
import os
import re
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.chromium import chromium
from tests.compat.node.stage import HERE, parley
from tests.system.deployment import Deployment, workplace

KEY = "key-" + "x" * 20
REQUEST_ID = re.compile(r"[0-9a-f]{16}")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def files(directory: Path) -> Iterator[str]:
    """A web server of its own, and so an origin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Stage:
    """Parley, the origin it lists, and one that it does not."""

    def __init__(self, up: Deployment, listed: str, stranger: str) -> None:
        self.up = up
        self.where = [f"{up.url}/v1", KEY]
        self.listed = listed
        self.stranger = stranger

    @contextlib.asynccontextmanager
    async def page(self, origin: str) -> AsyncIterator[Page]:
        """A page of an origin, with the client in it."""
        async with chromium() as browser:
            page = await browser.new_page()
            await page.goto(f"{origin}/index.html")
            await page.wait_for_function("window.scenarios !== undefined")
            yield page


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with workplace() as directory:
        (directory / "index.html").write_text('<!doctype html><script type="module" src="client.js"></script>')
        bundle = ["node_modules/.bin/esbuild", "openai_browser.mjs", "--bundle", "--format=esm", "--log-level=warning"]
        subprocess.run([*bundle, f"--outfile={directory / 'client.js'}"], cwd=HERE, check=True)
        with (
            files(directory) as listed,
            files(directory) as stranger,
            parley(PARLEY_ORIGINS=listed, PARLEY_ACCESS_KEY=KEY) as (up, _),
        ):
            yield Stage(up, listed, stranger)


async def play(page: Page, scenario: str, where: list[str]) -> Any:
    return await page.evaluate("([name, ...where]) => scenarios[name](...where)", [scenario, *where])


def said(tokens: int, tag: str = "t") -> str:
    return "".join(f"{tag}:{at:04d} " for at in range(tokens))


def test_it_streams(stage: Stage) -> None:
    async def main() -> None:
        async with stage.page(stage.listed) as page:
            chat = await play(page, "chat", stage.where)
            assert chat["text"] == said(5)
            assert REQUEST_ID.fullmatch(chat["requestID"])
            found = await play(page, "responses", stage.where)
            assert found["text"] == said(3, "look")
            assert found["items"] == ["function_call_output"]
            assert REQUEST_ID.fullmatch(found["requestID"])

    asyncio.run(main())


def test_every_method_is_allowed(stage: Stage) -> None:
    async def main() -> None:
        async with stage.page(stage.listed) as page:
            found = await play(page, "conversation", stage.where)
            assert found == {
                "texts": ["one", "two", "You said: two (2 messages)"],
                "status": "cancelled",
                "metadata": {"topic": "browsers"},
                "deleted": True,
            }

    asyncio.run(main())


def test_it_resumes_behind_a_killed_worker(stage: Stage) -> None:
    async def main() -> None:
        async with stage.page(stage.listed) as page:
            assert await play(page, "begin", stage.where) == 15
            for pid in stage.up.parts("work"):
                os.kill(pid, signal.SIGKILL)
            found = await play(page, "rest", [])
            assert found["numbers"] == list(range(len(found["numbers"])))
            assert (found["text"], found["last"]) == (said(80), "response.completed")

    asyncio.run(main())


def test_errors_can_be_read(stage: Stage) -> None:
    async def main() -> None:
        async with stage.page(stage.listed) as page:
            found = await play(page, "errors", stage.where)
            assert all(REQUEST_ID.fullmatch(error.pop("requestID")) for error in found.values())
            assert found == {
                "model": {"kind": "NotFoundError", "status": 404, "code": "model_not_found"},
                "input": {"kind": "BadRequestError", "status": 400, "code": "empty_message"},
                "key": {"kind": "AuthenticationError", "status": 401, "code": "not_authenticated"},
                "path": {"kind": "NotFoundError", "status": 404, "code": "not_found"},
                "response": {"kind": "NotFoundError", "status": 404, "code": "response_not_found"},
            }

    asyncio.run(main())


def test_pages_of_other_origins_are_refused(stage: Stage) -> None:
    async def main() -> None:
        async with stage.page(stage.listed) as page:
            assert await play(page, "models", stage.where) == "answered"
        async with stage.page(stage.stranger) as page:
            refused = await play(page, "models", stage.where)
            assert {name for name, value in refused.items() if value is not None} == {"kind"}
            assert refused["kind"] == "APIConnectionError"

    asyncio.run(main())
