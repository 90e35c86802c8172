"""Markdown as models write it becomes the nodes it means; what is closed is never touched again."""

from typing import Any

import pytest

from tests.browser.chromium import in_page, modules, play

pytestmark = pytest.mark.browser

HTML = """async (texts) => {
  const {markdown} = await import("/static/js/markdown.js");
  const {patch} = await import("/static/js/dom.js");
  return texts.map((text) => {
    const element = document.createElement("div");
    patch(element, [], markdown(text));
    for (const each of element.querySelectorAll("*")) {
      for (const name of each.getAttributeNames()) if (!["href", "start", "checked"].includes(name)) each.removeAttribute(name);
    }
    return element.innerHTML;
  });
}"""  # noqa: E501

CASES = {
    "plain": "<p>plain</p>",
    "one\ntwo\n\nthree": "<p>one\ntwo</p><p>three</p>",
    "break  \nhere\\\nthere": "<p>break<br>here<br>there</p>",
    "# a\n## b #\n####### c": "<h3>a</h3><h4>b</h4><p>####### c</p>",
    "### a\n##### b\n## c\n#### d": "<h3>a</h3><h4>b</h4><h3>c</h3><h4>d</h4>",
    "#tag": "<p>#tag</p>",
    "a\n---\nb": "<h3>a</h3><p>b</p>",
    "a\n\n---\nb": "<p>a</p><hr><p>b</p>",
    "**bold** *it* ***both*** ~~gone~~": (
        "<p><strong>bold</strong> <em>it</em> <em><strong>both</strong></em> <del>gone</del></p>"
    ),
    "snake_case_name 2 * 3 * 4 a*b*c": "<p>snake_case_name 2 * 3 * 4 a<em>b</em>c</p>",
    "**a *b* c**": "<p><strong>a <em>b</em> c</strong></p>",
    "*a **b* c**": "<p><em>a <em><em>b</em> c</em></em></p>",
    "`a **b** <i>` ``x ` y``": "<p><code>a **b** &lt;i&gt;</code> <code>x ` y</code></p>",
    "\\*not\\* \\a": "<p>*not* \\a</p>",
    "- a\n- b\n  - c\n\nd": "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>d</p>",
    "1. a\n   - b\n2. c": "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>",
    "3. a\n\n4. b": '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol>',
    "- [ ] a\n- [x] b": '<ul><li><input>a</li><li><input checked="">b</li></ul>',
    "text\n- a": "<p>text</p><ul><li>a</li></ul>",
    "1986. A year": '<ol start="1986"><li>A year</li></ol>',
    "In\n1986. A year": "<p>In\n1986. A year</p>",
    "> a\n> **b**\nlazy\n\nc": "<blockquote><p>a\n<strong>b</strong>\nlazy</p></blockquote><p>c</p>",
    "```js\nlet a = `b`;\n\n# no\n```\nafter": (
        "<div><div><span>js</span><button>Copy</button></div>"
        "<pre><code>let a = `b`;\n\n# no</code></pre></div><p>after</p>"
    ),
    "~~~\n```\n~~~": "<div><div><span>text</span><button>Copy</button></div><pre><code>```</code></pre></div>",
    "- a\n  ```\n  x\n    y\n  ```": (
        "<ul><li>a<div><div><span>text</span><button>Copy</button></div><pre><code>x\n  y</code></pre></div></li></ul>"
    ),
    "| a | b |\n|:--|--:|\n| 1 \\| 2 | **c** |\n| d |": (
        "<div><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>"
        "<tr><td>1 | 2</td><td><strong>c</strong></td></tr><tr><td>d</td><td></td></tr></tbody></table></div>"
    ),
    "a | b\nc": "<p>a | b\nc</p>",
    "[x](https://a.example/b(c)) <https://d.example/>": (
        '<p><a href="https://a.example/b(c)">x</a> <a href="https://d.example/">https://d.example/</a></p>'
    ),
    "see https://a.example/x_y_z. (http://b.example)": (
        '<p>see <a href="https://a.example/x_y_z">https://a.example/x_y_z</a>. '
        '(<a href="http://b.example/">http://b.example</a>)</p>'
    ),
    "[**a** `b`](https://a.example 'title')": (
        '<p><a href="https://a.example/"><strong>a</strong> <code>b</code></a></p>'
    ),
    "[a [b](https://b.example)](https://c.example)": (
        '<p>[a <a href="https://b.example/">b</a>](<a href="https://c.example/">https://c.example</a>)</p>'
    ),
    "[x] and array[0](1)": "<p>[x] and array0 (1)</p>",
    "<b>not</b> &amp; &lt;br&gt; &#8364; &bogus; a<br>b": (
        "<p>&lt;b&gt;not&lt;/b&gt; &amp; &lt;br&gt; € &amp;bogus; a<br>b</p>"
    ),
    "<div>\n**b**\n</div>": "<p>&lt;div&gt;\n<strong>b</strong></p><p>&lt;/div&gt;</p>",
    "[a] and [b][A]\n\n[a]: https://a.example 'title'": (
        '<p><a href="https://a.example/">a</a> and <a href="https://a.example/">b</a></p>'
    ),
    "One[^1] [^x]\n\n[^1]: said *so*": "<p>One<sup>1</sup> [^x]</p><p><sup>1</sup>said <em>so</em></p>",
    "$a_1 + b_1$ costs $5 or $6, \\(x\\)": "<p><span>a_1 + b_1</span> costs $5 or $6, <span>x</span></p>",
    "so\n$$\na_1\n$$\nand\n\\[\nb^*\n\\]": "<p>so</p><div>a_1</div><p>and</p><div>b^*</div>",
    "`$a$` $b $": "<p><code>$a$</code> $b $</p>",
    "    code\n": "<div><div><span>text</span><button>Copy</button></div><pre><code>code</code></pre></div>",
    "": "",
}

REPLY = """# Title

Some *text* with `code`, and a list:

1. one
   - two
2. three **bold**

```python
def f():
    return "`"
```

| a | b |
|---|---|
| c | d |

> quoted

- [x] done

End with https://a.example/ and **bold**.
"""


HEAD = (
    '[{"tag":"table","children":[{"tag":"thead","children":[{"tag":"tr","children":[%s]}]},'
    '{"tag":"tbody","children":[]}]}]'
)


def test_markdown_means_what_it_says() -> None:
    async def main() -> None:
        async with modules() as page:
            got = await in_page(page, HTML, list(CASES))
            assert dict(zip(CASES, got, strict=True)) == CASES

    play(main())


def test_closed_blocks_are_never_touched_again_while_a_reply_streams() -> None:
    script = """async (text) => {
      const {Stream, markdown} = await import("/static/js/markdown.js");
      const {patch} = await import("/static/js/dom.js");
      const element = document.createElement("div");
      const touched = new Set();
      const stream = new Stream();
      let before = [];
      let closed = [];
      let most = 0;
      const observer = new MutationObserver(() => {});
      observer.observe(element, {childList: true, characterData: true, subtree: true, attributes: true});
      let added = 0;
      for (let end = 1; end <= text.length; end += 1) {
        const settled = closed.map((at) => element.childNodes[at]);
        const after = stream.update(text.slice(0, end), end < text.length);
        patch(element, before, after);
        before = after;
        for (const record of observer.takeRecords()) {
          added += record.addedNodes.length;
          if (settled.some((node) => node.contains(record.target))) touched.add(record.target.nodeName);
        }
        closed = [...stream.closed.keys()];
        most = Math.max(most, closed.length);
      }
      const whole = document.createElement("div");
      patch(whole, [], markdown(text));
      return {touched: [...touched], most, blocks: before.length, added, same: whole.innerHTML === element.innerHTML};
    }"""

    async def main() -> None:
        async with modules() as page:
            got = await in_page(page, script, REPLY)
            print("nodes added:", got["added"])
            assert (got["touched"], got["same"]) == ([], True)
            assert got["most"] >= got["blocks"] - 1
            assert got["added"] < 400, "the open block is changed in place, not made anew"

    play(main())


def test_what_is_open_at_the_end_is_shown_as_if_it_were_closed() -> None:
    script = """async (texts) => {
      const {Stream} = await import("/static/js/markdown.js");
      return texts.map((text) => JSON.stringify(new Stream().update(text, true)[0].children));
    }"""
    cases = {
        "a **b": '["a ",{"tag":"strong","children":["b"]}]',
        "a **": '["a "]',
        "`co": '[{"tag":"code","children":["co"]}]',
        "see [x](https://far": '["see x"]',
        "5*3 is": '["5*3 is"]',
        "| a | b": HEAD % '{"tag":"th","children":["a"]},{"tag":"th","children":["b"]}',
        "| a |\n|-": HEAD % '{"tag":"th","children":["a"]}',
    }

    async def main() -> None:
        async with modules() as page:
            got: Any = await in_page(page, script, list(cases))
            assert dict(zip(cases, got, strict=True)) == cases

    play(main())


def test_hostile_lengths_take_no_time() -> None:
    script = """async () => {
      const {markdown} = await import("/static/js/markdown.js");
      const texts = [
        "*".repeat(1e5), "*a ".repeat(15000), "_a *b ".repeat(8000), "[".repeat(49000), "[](".repeat(16000),
        "`a``".repeat(12000), "> ".repeat(20000), "- ".repeat(20000), "1. a\\n".repeat(10000), "a\\n\\n".repeat(20000),
        "| a ".repeat(2000) + "\\n" + "|-".repeat(2000) + "\\n", "http://".repeat(7000), "# " + " ".repeat(49000) + "x",
        "- a\\n\\n" + "  b\\n\\n".repeat(8000), "~~a".repeat(15000), "<http://a".repeat(5000), "x".repeat(1e6),
        "$".repeat(50000), "$a ".repeat(20000), "$$\\n".repeat(15000), "\\\\(".repeat(20000), "[^1]".repeat(10000),
        "[^1]: a\\n".repeat(5000), "[a]: b\\n".repeat(5000), "&amp;".repeat(20000), "<br>".repeat(20000),
        "```\\n".repeat(20000), "|" + " x |".repeat(250000), "| a |\\n|---|\\n|" + " x |".repeat(250000),
        ">".repeat(10000) + " a", "> ".repeat(10000) + "a",
      ];
      return texts.map((text) => {
        const began = performance.now();
        markdown(text);
        return performance.now() - began;
      });
    }"""

    async def main() -> None:
        async with modules() as page:
            took = await in_page(page, script)
            print([round(each) for each in took])
            # The slowest takes about 0.4 s on a quiet machine; what is quadratic takes minutes.
            assert max(took) < 30_000

    play(main())
