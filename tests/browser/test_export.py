"""What can be taken along: a conversation as a file, a reply's text, its code, and what it cost."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.chromium import in_page, modules, play
from tests.browser.stage import call, copied, ended, named, opened, parley, replies, say, shows, stored, tokens, visit
from tests.system.deployment import Deployment, environment

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


async def exported(page: Page, kind: str) -> tuple[str, str]:
    """The name and the text of the file that the menu gives."""
    await page.get_by_role("button", name="More", exact=True).click()
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name=f"Export as {kind}").click()
    download = await waiting.value
    return download.suggested_filename, Path(await download.path()).read_text()


def test_a_conversation_as_a_file(up: Deployment, tmp_path: Path) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "Ciao, che c'è di nuovo?")
            await ended(page)
            await say(page, "say 2 tag=first")
            await ended(page, 1)
            await page.get_by_role("button", name="Edit message").last.click()
            await page.get_by_role("textbox", name="Edit message").fill("say 2 tag=second")
            await page.keyboard.press("Enter")
            await expect(replies(page).nth(1)).to_contain_text("second:0001")
            await ended(page, 1)
            conversation = await named(page)
            name, text = await exported(page, "Markdown")
            assert name == "Ciao-che-c-è-di-nuovo.md"
            head = "# Ciao, che c'è di nuovo?\n\n## You\n\nCiao, che c'è di nuovo?\n\n## scripted\n\nYou said: Ciao"
            assert text.startswith(head)
            assert text.endswith("\n\n## You\n\nsay 2 tag=second\n\n## scripted\n\nsecond:0000 second:0001\n")
            await page.get_by_role("button", name="Version before").click()
            _, text = await exported(page, "Markdown")
            assert text.endswith("\n\n## You\n\nsay 2 tag=first\n\n## scripted\n\nfirst:0000 first:0001\n")
            name, text = await exported(page, "JSON")
            assert name == "Ciao-che-c-è-di-nuovo.json"
            told = json.loads(text)
            assert (told["format"], told["conversation"]["id"]) == ("parley/1", conversation)
            assert told["turns"] == stored(up, conversation), "every version"
            kept = tmp_path / "kept.json"
            kept.write_text(text)
            command = [sys.executable, "-m", "parley", "import", str(kept)]
            env = environment(PARLEY_URL=up.url, HOME=str(tmp_path))
            done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            copy = stored(up, done.stdout.strip())
            assert [turn["text"] for turn in copy] == [turn["text"] for turn in told["turns"]]
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_a_long_conversation_is_exported_whole(up: Deployment) -> None:
    async def main() -> None:
        name = call(up, "/conversations", {"title": "Long"})["id"]
        texts = [f"Number {number}" for number in range(230)]
        for at in range(0, len(texts), 50):
            turns = [
                {
                    "turn": f"{number:016x}",
                    "parent": f"{number - 1:016x}" if number else "",
                    "request": {"input": [{"role": "user", "content": f"say 1 tag=n{number}"}]},
                    "status": "completed",
                    "text": text,
                }
                for number, text in list(enumerate(texts))[at : at + 50]
            ]
            call(up, f"/conversations/{name}/turns/restore", {"turns": turns})
        async with visit(up) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            await expect(replies(page)).to_have_count(30)
            _, text = await exported(page, "JSON")
            assert [turn["text"] for turn in json.loads(text)["turns"]] == texts
            _, text = await exported(page, "Markdown")
            assert [part for part in text.split("\n\n") if part.startswith("Number")][-1].strip() == "Number 229"
            assert text.count("## You") == len(texts)
            assert watch.complaints == []

    play(main())


def test_what_a_reply_cost_is_told_on_demand(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up, color_scheme="dark", locale="en-GB", **PHONE) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 20 tag=cost delay=0.02")
            await ended(page)
            teller = page.get_by_role("button", name="Tokens and timings")
            await expect(teller).to_have_attribute("aria-expanded", "false")
            await teller.tap()
            await expect(teller).to_have_attribute("aria-expanded", "true")
            figures = page.locator(".figures")
            for name, value in (("Model", r"^scripted$"), ("Tokens written", r"^20$"), ("Took", r"^\d+(\.\d)? secs?$")):
                await expect(figures.locator("div", has_text=name).first.locator("dd")).to_have_text(re.compile(value))
            assert await in_page(page, "() => document.documentElement.scrollWidth - innerWidth") == 0
            await page.reload()
            await ended(page)
            await expect(figures).to_be_hidden()
            await teller.tap()
            await expect(figures).to_contain_text("tokens/s")
            await teller.tap()
            await expect(figures).to_be_hidden()
            assert watch.complaints == []

    play(main())


def test_figures_of_every_kind() -> None:
    async def main() -> None:
        usage = {"input_tokens": 1200, "output_tokens": 90, "cached_tokens": 1000, "reasoning_tokens": 40}
        turn = {"model": "m", "usage": usage, "createdAt": 1000, "startedAt": 3000, "endedAt": 5000, "attempts": 2}
        async with modules() as page:
            script = "async (turn) => Object.fromEntries((await import('/static/js/story.js')).figures(turn))"
            found = await in_page(page, script, turn)
            assert found.pop("Asked")
            assert found == {
                "Model": "m",
                "Tokens read": "1,200, 1,000 from its cache",
                "Tokens written": "90, 40 of them thoughts",
                "Waited": "2 sec",
                "Took": "2 sec",
                "Speed": "45 tokens/s",
                "Attempts": "2",
            }
            empty = {"model": "", "usage": None, "createdAt": 0, "startedAt": 0, "endedAt": 0, "attempts": 0}
            assert await in_page(page, script, empty) == {}

    play(main())


def test_replies_and_code_are_copied(up: Deployment) -> None:
    async def main() -> None:
        turn = {
            "turn": "00000000000000aa",
            "request": {"input": [{"role": "user", "content": "Show me"}]},
            "status": "completed",
            "text": "So:\n\n```python\nprint('<hi>')\n```\n",
        }
        name = call(up, "/conversations", {"title": "Code"})["id"]
        call(up, f"/conversations/{name}/turns/restore", {"turns": [turn]})
        async with visit(up, permissions=["clipboard-read", "clipboard-write"]) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            for button, text in (
                ("Copy reply", turn["text"]),
                ("Copy code", "print('<hi>')\n"),
                ("Copy message", "Show me"),
            ):
                found = page.get_by_role("button", name=button) if button != "Copy code" else page.locator(".copy-code")
                await found.hover()
                await found.click()
                await expect(found).to_have_class(re.compile("done"))
                await copied(page, str(text))
            assert watch.complaints == []

    play(main())


def test_an_exported_file_is_read_in_again(up: Deployment, tmp_path: Path) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 3 tag=taken")
            await ended(page)
            before = await named(page)
            _, text = await exported(page, "JSON")
            (tmp_path / "kept.json").write_text(text)
            (tmp_path / "other.json").write_text('{"format": "chat/7", "turns": []}')
            await page.goto(up.url)
            for name in ("other", "kept"):
                await page.get_by_role("button", name="More", exact=True).click()
                async with page.expect_file_chooser() as waiting:
                    await page.get_by_role("button", name="Import conversations").click()
                await (await waiting.value).set_files(tmp_path / f"{name}.json")
                if name == "other":
                    await expect(page.locator("#banner")).to_contain_text("other.json is not a conversation")
            await ended(page)
            after = await named(page)
            assert after != before
            await shows(page, tokens("taken", 3))
            await expect(page.get_by_role("link", name="say 3 tag=taken")).to_have_count(2)
            (kept,), (read,) = stored(up, before), stored(up, after)
            assert {**kept, "response": ""} == {**read, "response": ""}
            assert watch.complaints == []

    play(main())
