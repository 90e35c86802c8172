"""The first page, as a person uses it: talk, watch, stop, reload, look from another tab, and lose the server."""

import os
import random
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.browser.chromium import in_page, play
from tests.browser.stage import (
    ended,
    message,
    named,
    opened,
    parley,
    replies,
    say,
    shown,
    shows,
    stored,
    tokens,
    visit,
    witnessed,
)
from tests.system.deployment import Deployment, until

pytestmark = pytest.mark.browser

# What a reply that is not whole shows, each time that changes.
PARTS = """() => {
  globalThis.parts = [];
  const note = () => {
    const text = document.querySelector('.reply[aria-busy="true"] > .prose')?.innerText;
    if (text) globalThis.parts.push(text);
  };
  new MutationObserver(note).observe(document.getElementById("thread"), {childList: true, characterData: true, subtree: true});
}"""  # noqa: E501


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


def test_talk_and_watch_it_stream(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await in_page(page, PARTS)
            await say(page, "say 120 tag=first delay=0.01 reasoning=5")
            conversation = await named(page)
            await ended(page)
            parts = await in_page(page, "() => globalThis.parts")
            assert [part for part in parts if "first:0005" in part], "it is shown while it is written"
            assert all(tokens("first", 120).startswith(" ".join(part.split())) for part in parts)
            await shows(page, tokens("first", 120))
            await expect(page.get_by_role("status")).to_have_text("Reply finished")
            await expect(page.get_by_text("Thoughts")).to_be_visible()
            await expect(page.get_by_role("link", name="say 120 tag=first delay=0.01 reasoning=5")).to_be_visible()
            await say(page, "say 3 tag=second")
            await ended(page, 1)
            await shows(page, tokens("second", 3), 1)
            turns = stored(up, conversation)
            assert [turn["text"].split() for turn in turns] == [
                tokens("first", 120).split(),
                tokens("second", 3).split(),
            ]
            assert turns[1]["parent"] == turns[0]["turn"]
            await page.get_by_role("link", name="New conversation").first.click()
            await expect(replies(page)).to_have_count(0)
            await page.go_back()
            await expect(replies(page)).to_have_count(2)
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_stop_keeps_the_text_and_the_next_message_goes_on(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 5000 tag=long delay=0.01")
            await expect(replies(page)).to_contain_text("long:0010")
            await say(page, "say 2 tag=waits")
            await say(page, "say 2 tag=withdrawn")
            waiting = page.get_by_role("list", name="Messages waiting")
            await expect(waiting.get_by_role("listitem")).to_have_text(["say 2 tag=waits", "say 2 tag=withdrawn"])
            await waiting.get_by_role("button", name="Withdraw this message").last.click()
            await expect(waiting.get_by_role("listitem")).to_have_text(["say 2 tag=waits"])
            await message(page).press("Escape")
            await ended(page)
            await expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
            await ended(page, 1)
            kept = await shown(page)
            assert kept == tokens("long", len(kept.split()))
            await shows(page, tokens("waits", 2), 1)
            await expect(replies(page)).to_have_count(2)
            turns = stored(up, await named(page))
            assert [turn["status"] for turn in turns] == ["cancelled", "completed", "cancelled"]
            assert " ".join(turns[0]["text"].split()) == kept
            assert watch.complaints == []

    play(main())


def test_reload_in_mid_reply_ends_with_the_exact_text_in_every_tab(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 400 tag=kept delay=0.015")
            await named(page)
            other = await opened(context, page.url)
            for at in (10, 60, 61, 150, 300):
                await expect(replies(page)).to_contain_text(f"kept:{at:04d}")
                await page.reload()
                await expect(replies(page)).to_contain_text(f"kept:{at:04d}")
                text = await shown(page)
                assert tokens("kept", 400).startswith(text), "never a gap, never a token twice"
            late = await opened(context, page.url)
            for tab in (page, other, late):
                await ended(tab)
                await shows(tab, tokens("kept", 400))
            await say(other, "say 2 tag=again")
            for tab in (page, late):
                await ended(tab, 1)
                await shows(tab, tokens("again", 2), 1)
            assert watch.complaints == []

    play(main())


def test_the_same_reply_goes_on_when_the_server_and_the_worker_are_killed() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    source = random.Random(seed)

    async def main() -> None:
        with parley() as up:
            async with visit(up) as (context, watch):
                page = await opened(context, up.url)
                # The model falls silent where the first worker is lost at the latest.
                await say(page, "say 500 tag=alive delay=0.01 hang=175 times=1")
                for part, at in (("serve", 20), ("work", 120), ("serve", 240)):
                    await expect(replies(page).first).to_contain_text(f"alive:{at + source.randrange(50):04d}")
                    before = await shown(page)
                    told = "The worker was lost" if part == "work" else ""
                    async with witnessed(page, told):
                        victims = up.parts(part)
                        assert victims
                        for pid in victims:
                            os.kill(pid, signal.SIGKILL)
                        # What was read stays where it is.
                        assert (await shown(page)).startswith(before)
                        if part == "serve":
                            # What is said without a server is kept, and said when one is back.
                            await say(page, f"say 2 tag=kept{at}")
                await ended(page)
                await shows(page, tokens("alive", 500))
                await expect(page.get_by_text("Continued after a crash")).to_be_visible()
                for number, tag in ((1, "kept20"), (2, "kept240")):
                    await ended(page, number)
                    await shows(page, tokens(tag, 2), number)
                assert len(stored(up, await named(page))) == 3
                # A browser tells of each socket that broke; nothing else may be wrong.
                others = [line for line in watch.complaints if "ERR_" not in line and "WebSocket" not in line]
                assert others == []

    play(main())


def test_a_reply_that_is_written_anew_replaces_what_was_shown() -> None:
    async def main() -> None:
        with parley(prefill="ignore") as up:
            async with visit(up) as (context, watch):
                page = await opened(context, up.url)
                await say(page, "say 300 tag=anew vary delay=0.01")
                await expect(replies(page)).to_contain_text("anew.r1:0050")
                for pid in up.parts("work"):
                    os.kill(pid, signal.SIGKILL)
                await ended(page)
                text = await shown(page)
                (turn,) = stored(up, await named(page))
                assert text == " ".join(turn["text"].split())
                assert text.split()[-1].endswith(":0299")
                assert len(text.split()) == 300
                assert watch.complaints == []

    play(main())


def test_a_failed_reply_says_why_and_can_be_asked_again_beside_it(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 4 tag=sick status=400 times=1")
            alert = page.get_by_role("alert")
            await expect(alert).to_contain_text("No reply.")
            (failed,) = stored(up, await named(page))
            await expect(alert).to_contain_text(failed["error"]["message"][:60])
            await alert.get_by_role("button", name="Try again").click()
            await expect(replies(page)).to_contain_text("sick:0003")
            await ended(page)
            await shows(page, tokens("sick", 4))
            first, again = stored(up, await named(page))
            assert (first["status"], again["status"]) == ("failed", "completed")
            assert first["parent"] == again["parent"] == ""
            await page.get_by_role("button", name="Version before").click()
            await expect(alert).to_contain_text("No reply.")
            await page.get_by_role("button", name="Version after").click()
            await expect(replies(page)).to_contain_text(tokens("sick", 4))
            assert watch.complaints == []

    play(main())


def test_rename_and_delete_reach_the_other_tab(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            page = await opened(context, up.url)
            await say(page, "say 2 tag=title")
            await ended(page)
            await named(page)
            other = await opened(context, page.url)
            await ended(other)
            await page.bring_to_front()
            await page.get_by_role("heading", level=1).get_by_role("button").click()
            await page.get_by_role("textbox", name="Title").fill("A better title")
            await page.get_by_role("textbox", name="Title").press("Enter")
            for tab in (page, other):
                await expect(tab.get_by_role("link", name="A better title")).to_be_visible()
                await expect(tab).to_have_title("A better title · Parley")
            await page.reload()
            await expect(page).to_have_title("A better title · Parley")
            await page.get_by_role("link", name="A better title").hover()
            await page.get_by_role("button", name="Delete A better title").click()
            await expect(page).to_have_url(f"{up.url}/")
            await expect(replies(page)).to_have_count(0)
            await page.reload()  # it cannot be taken back any more
            await expect(other.get_by_text("This conversation was deleted.")).to_be_visible()
            for tab in (page, other):
                await expect(tab.get_by_role("link", name="A better title")).to_have_count(0)
            gone = await context.new_page()
            await gone.goto(f"{up.url}/c/conv_00{'0' * 32}")
            await expect(gone.get_by_text("No such conversation")).to_be_visible()
            assert watch.complaints == []

    play(main())


def test_a_message_under_way_survives_a_reload_and_is_sent_once() -> None:
    async def main() -> None:
        with parley() as up:
            async with visit(up) as (context, _):
                page = await opened(context, up.url)
                (serve,) = up.parts("serve")
                os.kill(serve, signal.SIGSTOP)
                try:
                    await say(page, "say 3 tag=once")
                    await expect(page.get_by_role("article", name="You")).to_have_text("say 3 tag=once")
                    await expect(page).to_have_url(re.compile(f"^{re.escape(up.url)}/c/new-"))
                    draft = page.url
                finally:
                    os.kill(serve, signal.SIGCONT)
                # The message is under way somewhere between here and its receipt.
                await page.reload()
                await ended(page)
                await shows(page, tokens("once", 3))
                await expect(page.get_by_role("article", name="You")).to_have_count(1)
                conversation = await named(page)
                assert len(stored(up, conversation)) == 1
                # The address from before the conversation was made leads to it, in this tab; elsewhere it begins anew.
                await page.goto(draft)
                await ended(page)
                assert await named(page) == conversation
                other = await opened(context, draft)
                await expect(other).to_have_url(f"{up.url}/")

    play(main())


def test_without_a_worker_the_page_says_what_it_waits_for() -> None:
    async def main() -> None:
        with parley() as up:
            async with visit(up) as (context, _):
                page = await opened(context, up.url)
                workers = up.parts("work")
                for pid in workers:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    await say(page, "say 2 tag=late")
                    await expect(replies(page)).to_contain_text("Waiting for a worker")
                finally:
                    for pid in workers:
                        os.kill(pid, signal.SIGCONT)
                await ended(page)
                await shows(page, tokens("late", 2))
                until(lambda: bool(up.parts("work")), what="the worker")

    play(main())
