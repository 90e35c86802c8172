"""How much work the page makes: of a reply that streams, of what it fetches first, of a long conversation."""

import gzip
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.browser.chromium import PAGE, in_page, modules, play
from tests.browser.stage import ended, opened, parley, say, visit
from tests.system.deployment import Deployment

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


# About 6.6 KB, as replies to programmers are: headings, lists, tables, code, maths, quotes, links.
SECTION = """## Part {n}: how it goes on

A **turn** is one message and its *reply*, see [the notes](https://far.example/{n}) or `log/{n}.md`. It is written down
before anyone sees it, so that nothing is lost; the wait is $E_{n} = \\frac{{a}}{{1 - b}}$ on average.

1. The server appends it with a **key**.
2. A worker takes it:
   - it asks the model `m{n}`,
   - it appends each piece.
- [x] Survives a crash
- [ ] Survives the night

```python
async def follow(log: Log, cursor: int = {n}) -> None:
    \"\"\"Everything behind a cursor.\"\"\"
    async for entry in log.read(cursor, limit=100):  # at most
        print("entry", entry.number, f"of {{cursor}}")
```

| Part | p50 | p99 |
|:-----|----:|----:|
| Server | 1.{n} ms | 4.8 ms |
| Worker | 3.4 ms | **12.{n}** ms |

> A cursor is an epoch and a number.

"""
REPLY = "# How a durable turn works\n\n" + "".join(SECTION.format(n=n) for n in range(1, 8)) + "Done."

STREAM = """async ([text, pieces]) => {
  const {Stream} = await import("/static/js/markdown.js");
  const {patch} = await import("/static/js/dom.js");
  await import("/static/js/paint.js");
  const element = document.createElement("div");
  document.body.append(element);
  let [added, removed] = [0, 0];
  const counts = (nodes) => [...nodes].reduce((sum, node) => sum + 1 + counts(node.childNodes), 0);
  const observer = new MutationObserver((records) => tally(records));
  observer.observe(element, {childList: true, subtree: true});
  const tally = (records = observer.takeRecords()) => {
    for (const record of records) {
      // What was built outside and put in counts as a whole, by the record that put it in.
      added += counts(record.addedNodes);
      removed += counts(record.removedNodes);
    }
  };
  const stream = new Stream();
  let before = [];
  let picked = null;
  for (let n = 1; n <= pieces; n += 1) {
    const after = stream.update(text.slice(0, Math.round((text.length * n) / pieces)), n < pieces);
    patch(element, before, after);
    before = after;
    tally();
    if (n === Math.round(pieces / 4)) {
      picked = element.querySelector("p").firstChild;
      getSelection().selectAllChildren(picked.parentNode);
    }
    if (n % 10 === 0) await new Promise((done) => requestAnimationFrame(done));
    tally();
  }
  const selected = getSelection().toString();
  return {added, removed, selected, there: picked.isConnected, nodes: counts(element.childNodes)};
}"""


def test_a_reply_that_streams_touches_few_nodes_and_keeps_the_selection() -> None:
    """The reply of 1,700 pieces may make at most 2,000 nodes: those it ends with, and little more."""

    async def main() -> None:
        async with modules() as page:
            got = await in_page(page, STREAM, [REPLY, 1700])
            print(len(REPLY), got)
            assert got["there"]
            assert got["selected"].startswith("A turn is one message")
            assert got["added"] - got["removed"] >= got["nodes"], "all was seen"
            assert got["added"] <= 2_000

    play(main())


# Every node that comes into the document or leaves it, its head too.
TOUCHED = """() => {
  globalThis.touched = {pieces: 0, nodes: 0};
  const counts = (nodes) => [...nodes].reduce((sum, node) => sum + 1 + counts(node.childNodes), 0);
  new MutationObserver((records) => {
    for (const {type, addedNodes, removedNodes} of records) {
      globalThis.touched.pieces += type === "characterData";
      globalThis.touched.nodes += counts(addedNodes) + counts(removedNodes);
    }
  }).observe(document, {childList: true, characterData: true, subtree: true});
}"""


def test_a_growing_reply_touches_nothing_else_of_the_page(up: Deployment) -> None:
    """A message and its reply bring some 80 nodes, however many pieces the reply comes in."""

    async def main() -> None:
        async with visit(up) as (context, _):
            page = await opened(context, up.url)
            await say(page, "say 3 tag=before")
            await ended(page)
            await in_page(page, TOUCHED)
            await say(page, "say 400 tag=long delay=0.01")
            await ended(page, 1)
            touched = await in_page(page, "() => globalThis.touched")
            print(touched)
            assert touched["pieces"] >= 10, "it was shown while it was written"
            assert touched["nodes"] <= 150

    play(main())


IMPORT = re.compile(r'^(?:import|export)\b[^;]*?from "(\.[^"]+)"|^import "(\.[^"]+)"', re.MULTILINE)
PRELOAD = re.compile(r'<link rel="modulepreload" href="[^"]*?((?:js|vendor)/[\w.]+)">')


def reached(name: str, seen: set[str]) -> set[str]:
    """The modules that one needs before it runs, itself too."""
    if name not in seen:
        seen.add(name)
        for pair in IMPORT.findall((PAGE / name).read_text()):
            reached((PAGE / name).parent.joinpath(*filter(None, pair)).resolve().relative_to(PAGE).as_posix(), seen)
    return seen


def test_little_is_fetched_before_one_can_type() -> None:
    needed = reached("js/main.js", set())
    assert set(PRELOAD.findall((PAGE / "index.html").read_text())) == needed - {"js/main.js"}
    sizes = {name: len(gzip.compress((PAGE / name).read_bytes(), 9)) for name in needed}
    assert sum(sizes.values()) <= 50 * 1024, sorted(sizes.items(), key=lambda item: -item[1])


def test_nothing_is_asked_of_others_or_twice_and_libraries_only_when_needed(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, watch):
            asked: list[str] = []
            context.on("request", lambda request: asked.append(request.url))
            page = await opened(context, up.url)
            await say(page, "say 3 tag=plain")
            await ended(page)
            files = [url for url in asked if "/static/" in url]
            twice = {url.rpartition("/")[2] for url in files if files.count(url) > 1}
            assert twice <= {"icon.svg"}, "which the browser takes from its cache for each place it shows it"
            assert not [url for url in files if "katex" in url or "highlight" in url]
            await say(page, "Look:\n\n```python\nx = 1\n```\n\nThat is all")
            await ended(page, 1)
            await expect(page.locator(".hljs-number")).to_have_text("1")
            assert not [url for url in asked if "katex" in url]
            await say(page, "so $x^2$")
            await expect(page.locator(".katex")).to_be_visible()
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_a_library_that_cannot_be_fetched_leaves_the_text(up: Deployment) -> None:
    async def main() -> None:
        async with visit(up) as (context, _):
            await context.route("**/vendor/{katex,highlight}*", lambda route: route.abort())
            page = await opened(context, up.url)
            await page.get_by_role("textbox", name="Message", exact=True).fill(
                "Look:\n\n```python\nx = 1\n```\n\n$x^2$ and $\\bad{$"
            )
            await page.keyboard.press("Enter")
            reply = page.get_by_role("article", name="Reply")
            await expect(reply).to_have_attribute("aria-busy", "false")
            await expect(reply.locator("pre")).to_have_text("x = 1")
            await expect(reply.locator(".formula").first).to_have_text("x^2")

    play(main())


def test_the_page_itself_never_scrolls(up: Deployment) -> None:
    """What is hidden in a message for screen readers once made the page as long as the conversation."""

    async def main() -> None:
        async with visit(up, viewport={"width": 700, "height": 400}) as (context, _):
            page = await opened(context, up.url)
            for number in range(3):
                await say(page, "Look:\n\n" + "so $x^2$\n\n" * 30)
                await ended(page, number)
            await expect(page.locator(".katex").last).to_be_attached()
            high = "(element) => [document.scrollingElement.scrollHeight, innerHeight, element.scrollHeight]"
            page_height, window, thread = await page.locator("#messages").evaluate(high)
            assert page_height == window
            assert thread > 2 * window

    play(main())
