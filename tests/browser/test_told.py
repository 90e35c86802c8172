"""What people are told: what happened to a reply, that a message is too long, that a session is over, what to start."""

import asyncio
import os
import signal
import subprocess

import pytest
from playwright.async_api import expect

from tests.browser.chromium import in_page, play
from tests.browser.stage import (
    call,
    ended,
    holds,
    message,
    named,
    opened,
    parley,
    replies,
    say,
    shown,
    stored,
    tokens,
    visit,
)
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser

CURL = "async () => (await navigator.clipboard.readText()).startsWith('curl ')"


def run(command: str) -> "subprocess.CompletedProcess[str]":
    """A command, as it is pasted into a shell."""
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)


def test_what_happened_to_a_reply_and_how_to_ask_again() -> None:
    async def main(up: Deployment) -> None:
        async with visit(up, permissions=["clipboard-read", "clipboard-write"]) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 5000 tag=lost delay=0.02")
            await expect(replies(page)).to_contain_text("lost:0020")
            for pid in up.parts("work"):
                os.kill(pid, signal.SIGKILL)
            await expect(replies(page)).to_contain_text("The worker was lost")
            await message(page).press("Escape")
            await ended(page)
            kept = await shown(page)
            assert kept == tokens("lost", len(kept.split()))
            name = await named(page)
            await page.reload()
            await page.get_by_role("button", name="What happened").click()
            (turn,) = stored(up, name)
            (takeover,) = turn["takeovers"]
            assert turn["started_at"] < takeover["at"] < turn["ended_at"]
            assert takeover["length"] >= len("lost:0000 ") * 20
            line = page.get_by_text(f"the worker was lost at character {takeover['length']}, another one went on")
            await expect(line).to_be_visible()
            await page.get_by_role("button", name="Copy as curl").click()
            await holds(lambda: in_page(page, CURL), "the command to be copied")
            command = await in_page(page, "() => navigator.clipboard.readText()")
            done = await asyncio.to_thread(run, command.replace("say 5000", "say 5"))
            assert "event: receipt" in done.stdout, done
            assert "event: end" in done.stdout
            await expect(page.get_by_text("2/2")).to_be_visible()  # beside the first
            assert len(stored(up, name)) == 2
            assert watch.complaints == []

    with parley() as up:
        play(main(up))


def test_a_message_that_is_too_long_is_not_sent_and_keeps_its_text() -> None:
    async def main(up: Deployment) -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await expect(page.get_by_role("combobox", name="Model")).to_be_visible()
            await message(page).fill("é" * 600)
            alert = page.get_by_role("alert")
            await expect(alert).to_have_text("This is 200 bytes longer than a message may be. Send it in parts.")
            await message(page).press("Enter")
            await expect(page.get_by_role("button", name="Send")).to_be_disabled()
            await expect(message(page)).to_have_value("é" * 600)
            await say(page, "é" * 500)
            await expect(alert).to_be_hidden()
            await ended(page)
            assert watch.complaints == []

    with parley(PARLEY_LIMITS_MESSAGE_BYTES="1000") as up:
        play(main(up))


def test_a_session_that_is_over_asks_for_a_key_and_keeps_what_was_written() -> None:
    async def main(up: Deployment) -> None:
        async with visit(up) as (context, _):
            token = call(up, "/sessions", {"name": "Ada"}, authorization="Bearer key")["token"]
            page = await opened(context, f"{up.url}/chat/{token}")
            await say(page, "say 2 tag=mine")
            await ended(page)
            answer = await context.request.delete(
                f"{up.url}/api/sessions/current", headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status == 204
            await expect(page.get_by_text("Your session is over, or its key counts no more.")).to_be_visible()
            await page.get_by_label("Access key").last.fill("key")
            await page.get_by_role("button", name="Continue").click()
            await page.get_by_role("link", name="New conversation").first.click()
            await say(page, "say 2 tag=owner")
            await expect(replies(page)).to_contain_text("owner:0001")

    with parley(PARLEY_ACCESS_KEY="key") as up:
        play(main(up))


def test_a_model_that_cannot_be_reached_is_told_with_what_to_start() -> None:
    async def main(up: Deployment) -> None:
        async with visit(up) as (context, _):
            page = await opened(context, up.url)
            await say(page, "anyone?")
            await expect(page.get_by_role("alert")).to_contain_text("Start the model's server")
            await expect(page.get_by_role("button", name="Try again")).to_be_visible()

    with parley("--model-url", "http://127.0.0.1:9") as up:
        play(main(up))
