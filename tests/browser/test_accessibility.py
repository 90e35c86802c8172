"""For everyone: axe finds nothing in any state, size and theme; all by keyboard; the focus is never taken away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.browser.chromium import play
from tests.browser.stage import call, drawn, ended, message, opened, parley, replies, say, stored, visit
from tests.system.deployment import Deployment, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


AXE = Path(__file__).parents[2] / "tools/page/node_modules/axe-core/axe.min.js"  # made by: make check-page
SIZES = ((1280, 860), (820, 1180), (390, 844))
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RICH = """Steps:

## One

- [x] done with `code`
- [ ] open, see [there](https://far.example/)

```python
def reply(text: str) -> None:  # a comment
    print("said", 1, True, text)
```

| a | b |
|---|--:|
| c | 1 |

So $x^2$ it is.[^1]

$$
\\sum_{k=1}^n k
$$

```diff
- old
+ new
```

> quoted

[^1]: A note.
"""


async def broken(page: Page) -> list[str]:
    """The rules that axe finds broken, with the first element of each."""
    found: Any = await page.evaluate(
        """() => axe.run(document, {resultTypes: ["violations"]}).then(({violations}) =>
          violations.map(({id, nodes}) => `${id}: ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary}`))"""
    )
    return list(found)


async def sound(page: Page, state: str, sizes: tuple[tuple[int, int], ...] = SIZES) -> None:
    """In every theme and these sizes nothing is broken."""
    for width, height in sizes:
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await drawn(page)
            assert (state, width, scheme, await broken(page)) == (state, width, scheme, [])
    await page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})


async def tooled(page: Page) -> None:
    """Bring axe along; as a function of the tester, as the page lets no script in."""
    await page.evaluate(AXE.read_text() + "; undefined")


@pytest.mark.timeout(300)  # axe looks at a page for seconds on a busy machine
def test_axe_finds_nothing_in_any_state_size_and_theme(up: Deployment) -> None:
    async def main() -> None:
        name = call(up, "/conversations", {"title": "Rich"})["id"]
        call(up, f"/conversations/{name}/turns", {"input": RICH})
        until(lambda: [turn["status"] for turn in stored(up, name)] == ["completed"], what="the reply")
        async with visit(up) as (context, _):
            page = await opened(context, up.url)
            await tooled(page)
            await sound(page, "empty")
            await page.get_by_role("button", name="Settings", exact=True).click()
            await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
            await sound(page, "settings")
            await page.get_by_label("Appearance").select_option("contrast")
            await drawn(page)
            assert await broken(page) == []
            await page.get_by_label("Appearance").select_option("")
            await page.keyboard.press("Escape")
            await page.get_by_role("button", name="More").click()
            assert await broken(page) == []
            await page.get_by_role("button", name="Instructions and parameters").click()
            await expect(page.get_by_role("dialog", name="Instructions and parameters")).to_be_visible()
            await sound(page, "instructions")
            await page.keyboard.press("Escape")
            await page.get_by_role("link", name="Rich").click()
            await expect(page.locator(".katex").first).to_be_visible()
            await expect(page.locator(".hljs-keyword").first).to_be_visible()
            await sound(page, "rich")
            await say(page, "say 20000 tag=long delay=0.02 reasoning=3")
            await expect(replies(page).nth(1)).to_contain_text("long:0003")
            await sound(page, "streaming")
            await page.get_by_role("button", name="Stop the reply").click()
            await ended(page, 1)
            await say(page, "say 5 tag=bad error=2")
            await expect(page.get_by_role("alert")).to_be_visible()
            await sound(page, "failed")

    play(main())


# Who takes their time: a note that would go in ten seconds stays.
SLOW = """(() => {
  const later = globalThis.setTimeout;
  globalThis.setTimeout = (act, wait, ...rest) => later(act, wait === 10_000 ? 1e8 : wait, ...rest);
})()"""


@pytest.mark.timeout(300)  # axe looks at a page for seconds on a busy machine
def test_axe_finds_nothing_in_dialogs_and_notes(up: Deployment, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"format": "chat/7", "turns": []}')
    sizes = (SIZES[0], SIZES[-1])

    async def main() -> None:
        async with visit(up) as (context, _):
            await context.add_init_script(SLOW)
            page = await opened(context, up.url)
            await say(page, "say 2 tag=shared")
            await ended(page)
            await tooled(page)
            await page.get_by_role("button", name="Share", exact=True).click()
            dialog = page.get_by_role("dialog", name="Share by a link")
            await expect(dialog.get_by_role("button", name="Make a link")).to_be_visible()
            await sound(page, "share", sizes)
            await dialog.get_by_role("button", name="Make a link").click()
            await expect(dialog.get_by_role("textbox", name="Link")).to_be_visible()
            await sound(page, "shared", sizes)
            await dialog.get_by_role("button", name="Close").click()
            await page.get_by_role("link", name="say 2 tag=shared").hover()
            await page.get_by_role("button", name="Delete say 2 tag=shared").click()
            await expect(page.get_by_role("button", name="Undo")).to_be_visible()
            await sound(page, "deleted", sizes)
            await expect(page.get_by_role("button", name="Undo")).to_be_visible()
            await page.get_by_role("button", name="More", exact=True).click()
            async with page.expect_file_chooser() as waiting:
                await page.get_by_role("button", name="Import conversations").click()
            await (await waiting.value).set_files(tmp_path / "other.json")
            await expect(page.locator("#banner")).to_contain_text("other.json is not a conversation")
            await sound(page, "not imported", sizes)
            await page.get_by_role("button", name="Undo").click()
            await expect(page.get_by_role("link", name="say 2 tag=shared")).to_be_visible()

    play(main())


def test_everything_can_be_done_by_keyboard_and_the_focus_stays(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up, viewport={"width": 1280, "height": 860}) as (context, watch):
            page = await opened(context, up.url)
            await expect(message(page)).to_be_focused()
            await page.keyboard.type("say 3000 tag=keys delay=0.02")
            await page.keyboard.press("Enter")
            await expect(replies(page)).to_have_attribute("aria-busy", "true")
            await expect(replies(page)).to_contain_text("keys:0002")
            await expect(page.locator("#status")).to_have_text("Replying")
            await page.keyboard.type("meanwhile")
            await page.keyboard.press("Escape")
            await ended(page)
            await expect(page.locator("#status")).to_have_text("Reply stopped")
            await expect(message(page)).to_be_focused()
            await expect(message(page)).to_have_value("meanwhile")
            walked = await walk(page, 60)
            for stop in ("Skip to message", "Parley", "New conversation", "Search titles", "Settings", "More"):
                assert stop in walked, (stop, walked)
            for stop in ("Copy reply", "Ask again", "Messages", "Send", "Message"):
                assert stop in walked, (stop, walked)
            hide = page.get_by_role("button", name="Hide conversations")
            await hide.focus()
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("button", name="Show conversations")).to_be_focused()
            assert await page.locator("#sidebar").evaluate("(element) => element.inert")
            assert "Search titles" not in await walk(page, 25)
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


async def walk(page: Page, steps: int) -> list[str]:
    """The names of what Tab reaches; each shows that it has the focus."""
    found = []
    for _ in range(steps):
        await page.keyboard.press("Tab")
        name, seen = await page.evaluate(
            """() => {
              const element = document.activeElement;
              const {outlineStyle} = getComputedStyle(element);
              const framed = element.closest("#composer, .find, .copied");
              const name = element.getAttribute("aria-label") ?? element.textContent.trim();
              return [name, element === document.body || outlineStyle !== "none" || Boolean(framed)];
            }"""
        )
        assert seen, f"{name}: nothing shows the focus"
        found.append(name)
    return found


def test_what_can_be_pressed_is_large_enough(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, _):
            page = await opened(context, up.url)
            await say(page, "say 4 tag=size")
            await ended(page)
            for width, height in SIZES:
                await page.set_viewport_size({"width": width, "height": height})
                await drawn(page)
                small = await page.evaluate(
                    """() => [...document.querySelectorAll("button, a, select, input, summary")]
                      .filter((each) => each.checkVisibility({visibilityProperty: true}))
                      .filter((each) => !each.matches(".skip, .prose a"))
                      .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
                      .filter(([, {width, height}]) => width && (width < 24 || height < 24))
                      .map(([html]) => html)"""
                )
                assert (width, small) == (width, [])

    play(main())


def test_who_wants_less_motion_or_own_colours_gets_that(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, _):
            page = await opened(context, up.url)
            await page.emulate_media(reduced_motion="reduce", forced_colors="active")
            await say(page, "say 3000 tag=calm delay=0.02")
            await expect(replies(page)).to_contain_text("calm:0001")
            moving = await page.evaluate("() => document.getAnimations().length")
            assert moving == 0
            border = "(element) => getComputedStyle(element).borderTopStyle"
            assert await page.locator("#composer").evaluate(border) == "solid"
            await page.keyboard.press("Escape")
            await ended(page)

    play(main())
