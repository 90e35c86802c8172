"""Each state of the page that people meet, driven there as they get there: what it says and offers, and a picture.

The pictures go to the folder $PARLEY_PICTURES, when it is set: one a state, by day; those of `PHONE` on a phone, too.
"""

import contextlib
import io
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import BrowserContext, Locator, Page, expect
from redis import Redis

from tests.browser.chromium import play
from tests.browser.stage import (
    call,
    drawn,
    ended,
    message,
    named,
    opened,
    replies,
    say,
    shows,
    stored,
    tokens,
    visit,
    witnessed,
)
from tests.browser.test_share import shared
from tests.system.deployment import Deployment, configuration, deployment, until, upstream, workplace

pytestmark = pytest.mark.browser

KEY = "open-sesame"
BEARER = {"authorization": f"Bearer {KEY}"}
# The second model's server was not started.
MODELS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
[[models]]
name = "away"
url = "http://127.0.0.1:9/v1"
model = "away"
"""
# A session's, a minute and a day: the second message of a minute is refused, a whole minute long.
POSTS, TOKENS = 1, 30
WINDOW = {"width": 1100, "height": 740}
PHONE = {"width": 390, "height": 760}
COLOURS = 20  # a page that shows nothing has one


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One with a key, so that sessions have limits; its owner has none."""
    with workplace() as directory, upstream(directory) as url:
        config = configuration(directory, MODELS.format(url=url))
        limits = {"PARLEY_LIMITS_POSTS": str(POSTS), "PARLEY_LIMITS_SESSION_TOKENS": str(TOKENS)}
        with deployment(directory, "--config", config, PARLEY_ACCESS_KEY=KEY, **limits) as made:
            yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go."""
    found = Path(os.environ.get("PARLEY_PICTURES", tmp_path))
    found.mkdir(parents=True, exist_ok=True)
    return found


async def picture(page: Page, folder: Path, state: str) -> None:
    """Take one by day and one on a phone by night; there is something on each."""
    for name, size, scheme in ((state, WINDOW, "light"), (f"{state}-phone", PHONE, "dark")):
        await page.set_viewport_size({"width": size["width"], "height": size["height"]})
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        await drawn(page)
        data = await page.screenshot(path=folder / f"{name}.png", animations="disabled")
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (size["width"], size["height"])
            found = image.convert("RGB").getcolors(image.width * image.height) or []
        assert len(found) > COLOURS, f"{name} is blank"
    await page.set_viewport_size({"width": WINDOW["width"], "height": WINDOW["height"]})


@contextlib.asynccontextmanager
async def owner(up: Deployment) -> AsyncIterator[tuple[BrowserContext, Page]]:
    """The page of who has the key."""
    async with visit(up, viewport=WINDOW, locale="en-US") as (context, _):
        yield context, await opened(context, f"{up.url}/?token={KEY}")


@contextlib.asynccontextmanager
async def guest(up: Deployment, name: str, **options: str) -> AsyncIterator[tuple[BrowserContext, Page]]:
    """The page of somebody with a session, who has limits."""
    token = call(up, "/sessions", {"name": name}, **BEARER)["token"]
    async with visit(up, viewport=WINDOW, locale="en-US", **options) as (context, _):
        yield context, await opened(context, f"{up.url}/chat/{token}")


def banner(page: Page) -> Locator:
    """What is said of the connection."""
    return page.locator("#banner")


def status(page: Page) -> Locator:
    """What is read to those who cannot see the page."""
    return page.locator("#status")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def test_empty(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with guest(up, "Empty") as (_, page):
            await expect(page.get_by_text("What would you like to talk about?")).to_be_visible()
            await expect(page.get_by_text("Conversations appear here.")).to_be_visible()
            await expect(page.get_by_role("heading", level=1, name="Parley")).to_be_attached()
            await expect(message(page)).to_be_focused()
            await expect(button(page, "Send")).to_be_disabled()
            await expect(button(page, "Stop the reply")).to_be_hidden()
            await expect(banner(page)).to_be_hidden()
            await expect(replies(page)).to_have_count(0)
            await picture(page, folder, "01-empty")

    play(main())


def test_waiting_for_a_worker_and_behind_a_reply(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        workers = up.parts("work")
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            async with owner(up) as (_, page):
                await say(page, "say 2 tag=late")
                await expect(replies(page)).to_contain_text("Waiting for a worker")
                await expect(replies(page)).to_have_attribute("aria-busy", "true")
                await say(page, "say 2 tag=second")
                await say(page, "say 2 tag=third")
                waiting = page.get_by_role("list", name="Messages waiting").get_by_role("listitem")
                await expect(waiting).to_have_text(["say 2 tag=second", "say 2 tag=third"])
                await expect(waiting.get_by_role("button", name="Withdraw and edit")).to_have_count(2)
                await expect(waiting.get_by_role("button", name="Withdraw this message")).to_have_count(2)
                await expect(button(page, "Stop the reply")).to_be_visible()
                await picture(page, folder, "02-waiting")
                for pid in workers:
                    os.kill(pid, signal.SIGCONT)
                for number, tag in enumerate(("late", "second", "third")):
                    await shows(page, tokens(tag, 2), number)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)

    play(main())


def test_first_token(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with owner(up) as (_, page):
            await say(page, "say 9 tag=first hang=1")
            await shows(page, "first:0000")
            await expect(replies(page)).to_have_attribute("aria-busy", "true")
            await expect(status(page)).to_have_text("Replying")
            await expect(button(page, "Stop the reply")).to_be_visible()
            await expect(page.get_by_role("link", name=re.compile("hang=1 ?, replying now"))).to_be_visible()
            await picture(page, folder, "03-first-token")
            await button(page, "Stop the reply").click()
            await ended(page)

    play(main())


def test_streaming_then_stopped(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with owner(up) as (_, page):
            await say(page, "say 20000 tag=long delay=0.02 reasoning=3")
            await expect(replies(page)).to_contain_text("long:0030")
            await expect(replies(page)).to_have_attribute("aria-busy", "true")
            await expect(replies(page).get_by_text("Thoughts", exact=True)).to_be_visible()
            await expect(button(page, "Copy reply")).to_be_hidden()
            await picture(page, folder, "04-streaming")
            await message(page).press("Escape")
            await ended(page)
            await expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
            await expect(status(page)).to_have_text("Reply stopped")
            await expect(replies(page)).to_contain_text("long:0030")
            await expect(button(page, "Ask again")).to_be_visible()
            await expect(button(page, "Stop the reply")).to_be_hidden()
            await picture(page, folder, "05-stopped")

    play(main())


def test_failed_with_a_reason_and_a_way_to_try_again(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with owner(up) as (_, page):
            await say(page, "say 4 tag=sick status=400 times=1")
            alert = page.get_by_role("alert")
            await expect(alert).to_contain_text("No reply.")
            await expect(alert).to_contain_text("The model's server reported an error.")
            await expect(alert.locator(".exact")).to_have_text("upstream_error the upstream refused the request (400)")
            await expect(status(page)).to_have_text("Reply failed")
            await expect(replies(page)).to_have_attribute("aria-busy", "false")
            await picture(page, folder, "06-failed")
            await alert.get_by_role("button", name="Try again").click()
            await shows(page, tokens("sick", 4))
            await expect(alert).to_have_count(0)

    play(main())


@contextlib.contextmanager
def served_no_more(up: Deployment) -> Iterator[None]:
    """The server is killed, and nobody starts another one before the block ends."""
    os.kill(up.pid, signal.SIGSTOP)
    try:
        for pid in up.parts("serve"):
            os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(up.pid, signal.SIGCONT)
        until(lambda: bool(up.parts("serve")), what="another server")
        up.await_ready()


def test_reconnecting(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with owner(up) as (_, page):
            await say(page, "say 150 tag=on delay=0.02")
            await expect(replies(page)).to_contain_text("on:0005")
            with served_no_more(up):
                told = "Connection lost. Reconnecting… Replies go on meanwhile."
                await expect(banner(page)).to_contain_text(told)
                await expect(status(page)).to_have_text(told)
                await expect(button(page, "Try now")).to_be_visible()
                await expect(replies(page)).to_contain_text("on:0005")
                await say(page, "say 2 tag=kept")
                await expect(page.get_by_text("Kept here, sent when the server is back")).to_be_visible()
                await picture(page, folder, "07-reconnecting")
            await expect(banner(page)).to_be_hidden()
            await shows(page, tokens("on", 150))
            await shows(page, tokens("kept", 2), 1)
            assert len(stored(up, await named(page), **BEARER)) == 2

    play(main())


def test_offline(up: Deployment, folder: Path) -> None:
    """What is said meanwhile is sent once."""

    async def main() -> None:
        async with owner(up) as (context, page):
            await say(page, "say 2 tag=before")
            await ended(page)
            conversation = await named(page)
            await context.set_offline(True)
            told = "You are offline. What you write is kept and sent when you are back."
            await expect(banner(page)).to_contain_text(told)
            await expect(status(page)).to_have_text(told)
            await say(page, "say 2 tag=outbox")
            await expect(page.get_by_text("Kept here, sent when the server is back")).to_be_visible()
            await shows(page, tokens("before", 2))
            await picture(page, folder, "08-offline")
            assert len(stored(up, conversation, **BEARER)) == 1
            await context.set_offline(False)
            await expect(banner(page)).to_be_hidden()
            await shows(page, tokens("outbox", 2), 1)
            await ended(page, 1)
            await expect(page.get_by_role("article", name="You")).to_have_text(["say 2 tag=before", "say 2 tag=outbox"])
            assert [turn["status"] for turn in stored(up, conversation, **BEARER)] == ["completed"] * 2

    play(main())


def test_continued_after_a_crash_with_what_happened_one_click_away(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with owner(up) as (_, page):
            await say(page, "say 60 tag=alive delay=0.02 hang=30 times=1")
            await expect(replies(page)).to_contain_text("alive:0020")
            async with witnessed(page, "The worker was lost. Another goes on."):
                for pid in up.parts("work"):
                    os.kill(pid, signal.SIGKILL)
            await shows(page, tokens("alive", 60))
            await ended(page)
            note = replies(page).get_by_role("listitem").filter(has_text="Continued after a crash")
            await expect(note).to_be_visible()
            story = page.get_by_text(re.compile(r"the worker was lost at character \d+, another one went on"))
            await expect(story).to_have_count(0)
            await note.get_by_role("button", name="What happened").click()
            await expect(story).to_be_visible()
            await expect(replies(page).locator(".figures")).to_contain_text("Attempts")
            await picture(page, folder, "09-continued")

    play(main())


def expire(up: Deployment, conversation: str) -> None:
    """Let a conversation's time be over."""
    with Redis.from_url(up.redis_url) as client:
        found = list(client.scan_iter(f"*{conversation}*", count=1000))
        assert found
        for key in found:
            client.pexpire(key, 1)
        until(lambda: not list(client.scan_iter(f"*{conversation}*", count=1000)), what="its keys to expire")


def test_expired(up: Deployment, folder: Path) -> None:
    """A conversation whose time is over while nobody looks; what a day does is done by its keys' own expiry."""

    async def main() -> None:
        async with owner(up) as (_, page):
            await say(page, "say 2 tag=old")
            await ended(page)
            conversation = await named(page)
            expire(up, conversation)
            await page.reload()
            await expect(page.get_by_text("There is no such conversation, or its time is over.")).to_be_visible()
            await expect(replies(page)).to_have_count(0)
            await expect(page.get_by_role("link", name="say 2 tag=old")).to_have_count(0)
            await expect(button(page, "Share")).to_be_hidden()
            await expect(message(page)).to_be_hidden()
            await picture(page, folder, "10-expired")
            await page.locator(".missing").get_by_role("link", name="New conversation").click()
            await expect(page.get_by_text("What would you like to talk about?")).to_be_visible()
            await expect(message(page)).to_be_focused()
            await expect(message(page)).to_have_value("")

    play(main())


def test_expired_while_something_is_being_written(up: Deployment) -> None:
    """It cannot be said here any more, and begins the next conversation instead."""

    async def main() -> None:
        async with owner(up) as (_, page):
            await say(page, "say 2 tag=old")
            await ended(page)
            await message(page).fill("anyone?")
            expire(up, await named(page))
            await page.reload()
            await expect(page.get_by_text("There is no such conversation, or its time is over.")).to_be_visible()
            await expect(message(page)).to_have_value("anyone?")
            await expect(button(page, "Send")).to_be_disabled()
            await message(page).press("Enter")
            await expect(message(page)).to_have_value("anyone?")
            await page.locator(".missing").get_by_role("link", name="New conversation").click()
            await expect(page.get_by_text("What would you like to talk about?")).to_be_visible()
            await expect(message(page)).to_have_value("anyone?")
            await expect(button(page, "Send")).to_be_enabled()

    play(main())


def test_a_session_that_is_over(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with guest(up, "Over") as (context, page):
            await say(page, "say 2 tag=mine")
            await ended(page)
            token = await page.evaluate("sessionStorage['parley.access']")
            answer = await context.request.delete(
                f"{up.url}/api/sessions/current", headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status == 204
            dialog = page.get_by_role("dialog", name="Access key")
            await expect(dialog).to_contain_text("Your session is over, or its key counts no more.")
            await expect(dialog.get_by_role("textbox", name="Access key")).to_be_focused()
            await picture(page, folder, "10-expired-session")

    play(main())


def test_read_only(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with owner(up) as (_, page), visit(up, viewport=WINDOW, locale="en-US") as (other, _):
            await say(page, "say 40 tag=told")
            await ended(page)
            link = await shared(page)
            await picture(page, folder, "11-share-dialog")
            reader = await other.new_page()
            await reader.goto(link)
            await shows(reader, tokens("told", 40))
            await expect(reader.get_by_text("Read only")).to_be_visible()
            await expect(reader.get_by_role("heading", level=1, name="say 40 tag=told")).to_be_visible()
            await expect(message(reader)).to_be_hidden()
            for name in ("Send", "Edit message", "Ask again", "Share", "Show conversations"):
                await expect(button(reader, name)).to_have_count(0)
            await expect(button(reader, "Copy reply")).to_be_visible()
            await picture(reader, folder, "11-read-only")

    play(main())


def test_no_model_can_be_reached(up: Deployment, folder: Path) -> None:
    async def main() -> None:
        async with owner(up) as (_, page):
            await page.get_by_role("combobox", name="Model").select_option("away")
            await say(page, "anyone?")
            alert = page.get_by_role("alert")
            await expect(alert).to_contain_text("No reply.")
            await expect(alert).to_contain_text("Start the model's server, for instance with “ollama serve”")
            await expect(alert.get_by_role("button", name="Try again")).to_be_visible()
            await picture(page, folder, "12-no-model")

    play(main())


def test_too_many_a_minute(up: Deployment, folder: Path) -> None:
    """It says when, and sends it by itself."""

    async def main() -> None:
        async with guest(up, "Fast") as (_, page):
            await say(page, "say 1 tag=early")
            await ended(page)
            await say(page, "say 1 tag=late")
            again = r"It is sent again by itself in \d+ sec\."
            wait = re.compile(rf"^These were too many messages in a short time\. {again}$")
            told = page.get_by_text(wait)
            await expect(told).to_be_visible()
            before = (wait.match(await told.inner_text()) or [""])[0]
            await expect(page.get_by_text(before, exact=True)).to_have_count(0)  # it counts down
            await expect(message(page)).to_have_value("")
            await picture(page, folder, "13-too-fast")
            conversation = await named(page)
            await page.reload()
            await expect(page.get_by_text(wait)).to_be_visible()
            token = await page.evaluate("sessionStorage['parley.access']")
            assert len(stored(up, conversation, authorization=f"Bearer {token}")) == POSTS

    play(main())


def test_over_quota(up: Deployment, folder: Path) -> None:
    """It says when more may be said, and keeps what was written."""

    async def main() -> None:
        async with guest(up, "Spent", timezone_id="Asia/Tokyo") as (_, page):
            await say(page, f"say {TOKENS} tag=all")
            await ended(page)
            await say(page, "one more thing")
            alert = page.get_by_role("alert")
            # At midnight in UTC.
            spent = re.compile(r"Today's tokens are used up\. The next ones come \w+day(?: at)? 9:00\sAM\.")
            await expect(alert).to_contain_text("Not sent.")
            await expect(alert).to_contain_text(spent)
            await picture(page, folder, "13-over-quota")
            await page.reload()
            await expect(alert).to_contain_text(spent)
            await alert.get_by_role("button", name="Edit").click()
            await expect(message(page)).to_have_value("one more thing")
            await expect(alert).to_have_count(0)

    play(main())
