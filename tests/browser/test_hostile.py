"""Hostile text stays text: no script runs, no request leaves, no link leads anywhere but to http and https."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.chromium import in_page, modules, play
from tests.browser.stage import call, ended, message, opened, parley, replies, say, stored, visit
from tests.system.deployment import until

pytestmark = pytest.mark.browser

FAR = "https://far.example"
HOSTILE = (
    "<script>globalThis.pwned = 1</script>",
    "<img src=x onerror='globalThis.pwned = 1'>",
    f"<img src='{FAR}/beacon.png'>",
    f"![beacon]({FAR}/beacon.png)",
    f"[![beacon]({FAR}/b.png)]({FAR}/link)",
    "<svg onload=globalThis.pwned=1><animate onbegin=globalThis.pwned=1 attributeName=x dur=1s>",
    f"<iframe src='{FAR}' srcdoc='<script>parent.pwned=1</script>'></iframe>",
    f"<object data='{FAR}/o'></object><embed src='{FAR}/e'>",
    f"<link rel=stylesheet href='{FAR}/s.css'><style>@import '{FAR}/t.css';*{{background:url({FAR}/u)}}</style>",
    f"<meta http-equiv=refresh content='0;url={FAR}'><base href='{FAR}/'>",
    f"<form action='{FAR}'><button autofocus onfocus=globalThis.pwned=1>x</button></form>",
    f"<video src='{FAR}/v' autoplay onloadstart=globalThis.pwned=1></video><audio src='{FAR}/a'>",
    "<details open ontoggle=globalThis.pwned=1><summary>x</summary></details>",
    "<math><mtext><table><mglyph><style><img src=x onerror=globalThis.pwned=1>",
    "</p></div></article><script>globalThis.pwned = 1</script>",
    "[click](javascript:globalThis.pwned=1)",
    "[click](JaVaScRiPt:globalThis.pwned=1)",
    "[click](java\tscript:globalThis.pwned=1)",
    "[click](&#106;avascript:globalThis.pwned=1)",
    "[click](data:text/html,<script>globalThis.pwned=1</script>)",
    "[click](vbscript:msgbox)",
    "[click](//far.example/path)",
    "[click](/api/conversations)",
    "[click](\\\\far.example\\path)",
    "<javascript:globalThis.pwned=1>",
    "[a](https://far.example\"onmouseover=\"globalThis.pwned=1)",
    "[a](<https://far.example/\"><img src=x onerror=globalThis.pwned=1>>)",
    "[ref]: javascript:globalThis.pwned=1\n\n[ref] [x][ref]",
    "```html\n<script>globalThis.pwned = 1</script>\n```",
    "```\"><img src=x onerror=globalThis.pwned=1>\ncode\n```",
    "`<img src=x onerror=globalThis.pwned=1>`",
    "| <img src=x onerror=globalThis.pwned=1> | b |\n|---|---|\n| <script>pwned=1</script> | [x](javascript:1) |",
    "# <img src=x onerror=globalThis.pwned=1>\n\n> <script>globalThis.pwned=1</script>\n\n- <svg/onload=pwned=1>",
    "{{constructor.constructor('globalThis.pwned=1')()}} ${globalThis.pwned=1} <%= pwned %>",
    "<STYLE>@keyframes x{}</STYLE><p style='animation:x' onanimationstart=globalThis.pwned=1>",
    "<input autofocus onfocus=globalThis.pwned=1><select onfocus=globalThis.pwned=1 autofocus>",
    "<template><script>globalThis.pwned=1</script></template><noscript><img src=x onerror=pwned=1></noscript>",
    f"<a href='{FAR}' ping='{FAR}/ping' target=_self>x</a><area href='{FAR}'><portal src='{FAR}'>",
    f"<img srcset='{FAR}/a.png 1x' sizes=1px><picture><source srcset='{FAR}/b.webp'></picture>",
    f"<input type=image src='{FAR}/i.png'><body background='{FAR}/bg.png'><table background='{FAR}/t.png'>",
    "<!--><img src=x onerror=globalThis.pwned=1>--><![CDATA[<img src=x onerror=globalThis.pwned=1>]]>",
    "<?xml version='1.0'?><!DOCTYPE html><!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
    "<p is=x-y></p><x-y contenteditable onblur=globalThis.pwned=1 tabindex=0 autofocus>",
    "<br onclick=globalThis.pwned=1> <br/onclick=pwned=1> <BR  ><br\t>",
    "&lt;script&gt;globalThis.pwned=1&lt;/script&gt; &#60;img src=x onerror=pwned=1&#62;",
    "[click](&#x6a;&#x61;vascript&colon;globalThis.pwned=1)",
    "[click](&Tab;javascript:globalThis.pwned=1)",
    "[click](\u0001javascript:globalThis.pwned=1)",
    "[click](https:javascript:globalThis.pwned=1)",
    "[click](blob:https://far.example/1) [click](file:///etc/passwd) [click](ws://far.example)",
    "[click](https://user:password@far.example@127.0.0.1/)",
    "[click](http://[::1%25x]/) [click](http://\u0430pple.example/) [click](https://)",
    "[![a](javascript:pwned=1)](javascript:pwned=1) ![a](data:image/svg+xml,<svg/onload=pwned=1>)",
    "![a][r]\n\n[r]: https://far.example/beacon.png",
    "[r]\n\n[r]: <javascript:globalThis.pwned=1> 'x\" onmouseover=\"pwned=1'",
    "[__proto__] [constructor]\n\n[__proto__]: https://far.example/p\n[constructor]: https://far.example/c",
    "```__proto__\nx\n```\n\n```constructor\ny\n```\n\n```\\\"><script>\nz\n```",
    "```html\n<img src=x onerror=globalThis.pwned=1>\n<script>pwned=1</script>\n",
    "```xml\n<a href=\"javascript:pwned=1\" onclick='pwned=1'>&amp;</a>\n```",
    "```markdown\n[x](javascript:pwned=1) <img src=x onerror=pwned=1>\n```\n\n    <script>pwned=1</script>",
    "$\\href{javascript:globalThis.pwned=1}{x}$ and $\\url{javascript:globalThis.pwned=1}$",
    "$$\\htmlData{onclick=pwned}{x} \\htmlStyle{background:url(https://far.example/u)}{x}$$",
    "\\[\\includegraphics[height=1em]{https://far.example/g.png}\\]",
    "$\\def\\a{\\a\\a}\\a$ $\\rule{99999em}{99999em}$ $\\kern{-9999em}x$ $\\text{<img src=x onerror=pwned=1>}$",
    "$$\n\\unknown{<script>globalThis.pwned=1</script>}\n$$",
    "| a |\n|---|\n| <br onclick=pwned=1><br> $\\href{javascript:pwned=1}{x}$ ![b](https://far.example/c.png) |",
    "[^1] [^__proto__]\n\n[^1]: <img src=x onerror=globalThis.pwned=1>\n[^2]: [x](javascript:pwned=1)",
    "- [x] <input type=checkbox onclick=pwned=1>\n- [ ](javascript:1) [X](https://far.example 'a\" onclick=\"pwned=1')",
    "www.far.example/a?<script>pwned=1</script> mailto:a@far.example a@far.example javascript:pwned=1",
    "> > > <script>pwned=1</script>\n> ```js\n> pwned=1\n",
    "\u202eevil\u202c \u0000 \ufeff \ud7ff \u2028 \u2029 <\u200bscript>pwned=1</script>",
)  # fmt: skip
ALLOWED = {
    *("A", "BLOCKQUOTE", "BR", "BUTTON", "CODE", "DEL", "DIV", "EM", "H3", "H4", "H5", "H6", "HR", "INPUT", "LI"),
    *("OL", "P", "PRE", "SPAN", "STRONG", "SUP", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL"),
}
ATTRIBUTES = {
    "checked",
    "disabled",
    "data-done",
    "data-language",
    "href",
    "target",
    "rel",
    "class",
    "type",
    "tabindex",
    "role",
    "aria-label",
    "dir",
    "start",
}
LOOK = """() => {
  const elements = [...document.querySelectorAll("#thread .prose *")].filter((element) => !element.closest(".katex"));
  const drawn = [...document.querySelectorAll("#thread .katex, #thread .katex *")];
  return {
    pwned: globalThis.pwned ?? null,
    drawn: drawn.length,
    loads: drawn.filter((element) => /^(a|img|script|iframe|use|image)$/i.test(element.tagName)
      || /url\\(/.test(element.style?.cssText)
      || element.getAttributeNames().some((name) => /^(on.*|(xlink:)?href|src.*)$/.test(name)))
      .map((element) => element.outerHTML),
    tags: [...new Set(elements.map((element) => element.tagName))],
    attributes: [...new Set(elements.flatMap((element) => element.getAttributeNames()))],
    links: [...document.querySelectorAll("#thread a")].map((link) => [link.href, link.rel, link.target]),
  };
}"""


def harmless(look: dict[str, Any]) -> None:
    """Nothing ran, and nothing can."""
    assert look["pwned"] is None
    assert set(look["tags"]) <= ALLOWED
    assert set(look["attributes"]) <= ATTRIBUTES
    for href, rel, target in look["links"]:
        assert href.startswith(("https://", "http://"))
        assert "noopener" in rel
        assert target == "_blank"


def test_hostile_text_is_inert_in_history_and_while_it_streams() -> None:
    async def main() -> None:
        with parley() as up:
            name = call(up, "/conversations", {"title": HOSTILE[1]})["id"]
            told, said = ["\n\n".join(HOSTILE[at : at + 9]) for at in range(0, 36, 9)], HOSTILE[36:]
            for text in told:
                call(up, f"/conversations/{name}/turns", {"input": text})
                until(lambda: all(turn["status"] == "completed" for turn in stored(up, name)), what="the reply")
            async with visit(up) as (context, watch):
                page = await opened(context, f"{up.url}/c/{name}")
                await expect(replies(page)).to_have_count(len(told))
                for at in range(4):
                    await say(page, "\n\n".join(said[at::4]))
                    await expect(message(page)).to_have_value("")
                    await expect(replies(page)).to_have_count(len(told) + at + 1)
                    await ended(page, len(told) + at)
                look = await in_page(page, LOOK)
                harmless(look)
                assert look["links"], "links to https are links"
                assert look["loads"] == [], "a formula draws and does nothing else"
                for turn in stored(up, name):
                    assert turn["status"] == "completed"
                    assert turn["text"].startswith("You said: ")
                await page.reload()
                await expect(replies(page)).to_have_count(len(told) + 4)
                harmless(await in_page(page, LOOK))
                assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_markdown_alone_makes_nothing_but_these_nodes() -> None:
    """Without the policy of the server, and with each text as the whole reply, cut at every length."""
    script = """async (texts) => {
      const {Stream, markdown} = await import("/static/js/markdown.js");
      const {patch} = await import("/static/js/dom.js");
      const found = {tags: new Set(), attributes: new Set(), links: []};
      for (const text of texts) {
        const element = document.createElement("div");
        document.body.append(element);
        const stream = new Stream();
        let before = [];
        for (let end = 1; end <= text.length; end += 1) {
          const after = stream.update(text.slice(0, end), end < text.length);
          patch(element, before, after);
          before = after;
        }
        const whole = document.createElement("div");
        patch(whole, [], markdown(text));
        if (whole.innerHTML !== element.innerHTML) throw new Error(`streamed otherwise: ${text}`);
        for (const each of element.querySelectorAll("*")) {
          found.tags.add(each.tagName);
          for (const name of each.getAttributeNames()) found.attributes.add(name);
          if (each.href) found.links.push([each.href, each.rel, each.target]);
        }
      }
      await new Promise((done) => setTimeout(done, 300));
      return {pwned: globalThis.pwned ?? null, ...found, tags: [...found.tags], attributes: [...found.attributes]};
    }"""

    async def main() -> None:
        async with modules() as page:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            harmless(await in_page(page, script, list(HOSTILE)))
            assert all(url.startswith("http://page.test/static/") for url in asked)

    play(main())
