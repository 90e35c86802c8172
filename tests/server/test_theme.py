"""A theme's file: what is read in it, what is refused and where it is told to be wrong, and how it is served."""

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.server.page import FOLDER
from parley.server.theme import LOGOS, MOST_BYTES, Theme, read
from tests.server.shared import Shared, shared
from tests.tutorial import blocks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "theme.md").read_text()
EXAMPLE = dict(blocks(PAGE))["css"]
SVG = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 2 1'><path d='M0 0h2v1H0Z'/></svg>"
BROWSER = {"Accept": "text/html"}


def of(css: str) -> Theme:
    return read(css.encode())


def test_the_example_of_the_documentation() -> None:
    theme = of(EXAMPLE)
    assert (theme.name, theme.logo, theme.paper) == ("Harbour", "image/svg+xml", ("#fbfdfd", "#0f1719"))
    assert theme.picture.startswith(b"<svg xmlns=")
    assert (theme.css, theme.notes) == (EXAMPLE, ())


def test_every_variable_that_is_documented_or_set_there_is_one_of_the_page() -> None:
    known = set(re.findall(r"(--[\w-]+):", (FOLDER / "app.css").read_text())) | {"--name", "--logo"}
    told = set(re.findall(r"`(--[\w-]+)`", PAGE)) | set(re.findall(r"^  (--[\w-]+):", EXAMPLE, re.MULTILINE))
    assert len(told) > 20
    assert told <= known


def test_wherever_the_example_is_cut_off_it_is_refused() -> None:
    for at in range(1, len(EXAMPLE.rstrip())):
        with pytest.raises(ValueError):
            of(EXAMPLE[:at])


@pytest.mark.parametrize(
    ("css", "said"),
    [
        (":root {\n --ink: red", "line 1: { is never closed"),
        (":root {\n --ink: red; } }", "line 2: } closes nothing"),
        (":root { --ink: rgb(0 0 0; }", "line 1: } closes nothing"),
        (":root { }\n/* colours", "line 2: this comment has no end"),
        (':root { --name: "Acme; }', "line 1: this text has no end in its line"),
        (":root {\n --name: 'A\nB'; }", "line 2: this text has no end in its line"),
        (":root {\n --ink: red\n --paper: blue; }", "line 3: there is no semicolon before --paper"),
        (":root { --ink; }", "line 1: --ink is set to nothing"),
        ("<!doctype html><title>Not CSS</title>", "it ends in the middle of a rule"),
        (":root { --name: Acme }", 'line 1: --name must be a text of at most 60 letters, like "Acme"'),
        (':root { --name: "" }', "--name must be a text"),
        (f':root {{ --name: "{"m" * 61}" }}', "--name must be a text"),
        (':root { --name: "\\41 cme" }', "--name must be a text"),
        (":root { --logo: url(logo.svg) }", 'line 1: --logo must be url("data:TYPE,…")'),
        (":root { --logo: url(https://cdn.example/logo.svg) }", "--logo must be"),
        (":root { --logo: url('data:text/html,<p>') }", "--logo must be"),
        (":root { --logo: url(data:image/png;base64,A) }", "the data of --logo are not Base64"),
        (":root { --logo: url('data:image/svg+xml,<svg/>') }", "has no xmlns="),
        (":root { --logo: url(data:image/svg+xml,<svg xmlns=''>) }", "needs quotes around it"),
    ],
)
def test_what_cannot_be_used_is_refused(css: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        of(css)


def test_what_is_too_large_or_no_text_is_refused() -> None:
    assert read(b" " * MOST_BYTES).css
    with pytest.raises(ValueError, match="larger than 512 KiB"):
        read(b" " * (MOST_BYTES + 1))
    with pytest.raises(ValueError, match="byte 7 is not UTF-8"):
        read(b":root {\xff}")


@pytest.mark.parametrize(
    ("css", "name"),
    [
        ("", ""),
        ("\ufeff:root { --name: 'Acme' }", "Acme"),
        ('html, .x { --name: "No" } html, :Root { --name: "Acme" /* it is us */ ; }', "Acme"),
        (':root { --name: "A"; } @media print { :root { --name: "No"; } } :root { --name: "Acme"; }', "Acme"),
        (':root { a { --name: "No" } --name: "Acme" }', "Acme"),
        (":root { --name: \" A; } 'B' & <Co> \" }", "A; } 'B' & <Co>"),
        ('a::after { content: "}\\"{"; } :root { --name: "Acme" }', "Acme"),
    ],
)
def test_a_name_is_found_where_css_has_it(css: str, name: str) -> None:
    assert of(css).name == name


@pytest.mark.parametrize("kind", LOGOS)
def test_a_logo_is_taken_in_every_form(kind: str) -> None:
    packed = base64.b64encode(SVG.encode()).decode()
    quoted = SVG.replace("#", "%23").replace("<", "%3C").replace(">", "%3E")
    for address in (
        f"url(data:{kind};base64,{packed})",
        f'url( "data:{kind},{quoted}" )',
        f'URL("data:{kind};utf8,{SVG}")',
    ):
        theme = of(f":root {{ --logo: {address}; }}")
        assert (theme.logo, theme.picture) == (kind, SVG.encode())


@pytest.mark.parametrize(
    ("value", "paper"),
    [
        ("#fff", ("#fff", "#fff")),
        ("light-dark( white , rgb(1, 2, 3) )", ("white", "rgb(1, 2, 3)")),
        ("color-mix(in srgb, rgb(1 2 3), red)", None),
    ],
)
def test_the_colour_of_the_paper(value: str, paper: tuple[str, str] | None) -> None:
    assert of(f":root {{ --paper: {value} }}").paper == paper


@pytest.mark.parametrize(
    ("css", "addresses"),
    [
        ("a { b: url(data:image/png,x) url(#x) } @namespace svg url(#); i::after { content: 'https://x/' }", []),
        ('@import "more.css";', ["more.css"]),
        ("@import url(https://x.example/a.css);", ["https://x.example/a.css"]),
        ("@font-face { src: url('data:font/woff2,x') }", ["data:font/woff2,x"]),
        (
            "/* url(a.png) */ a { b: image-set('//x.example/b.png' 1x, url( c.png ) 2x) }",
            ["//x.example/b.png", "c.png"],
        ),
    ],
)
def test_what_will_not_load_is_told(css: str, addresses: list[str]) -> None:
    told = [note.partition(" will not load")[0] for note in of(css).notes]
    assert told == [f"line 1: {address}" for address in addresses]


def test_a_variable_that_nothing_uses_is_told() -> None:
    theme = of(":root {\n --papre: red; --Ink: red; --own: red; --paper: var( --own );\n --nothing-like-it: 1 }")
    assert theme.notes == (
        "line 2: --papre is no variable of the page; did you mean --paper?",
        "line 2: --Ink is no variable of the page; did you mean --ink?",
        "line 3: --nothing-like-it is no variable of the page",
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(theme=of(EXAMPLE.replace("Harbour", "<A & B>"))) as made:
        yield made


def test_it_is_served_with_the_page(server: Shared) -> None:
    html = server.request("GET", "/", headers=BROWSER).body.decode()
    [path] = re.findall(r'css">\n  <link rel="stylesheet" href="(/static/[0-9a-f]{12}/theme\.css)">', html)
    plain = server.request("GET", path)
    assert (plain.status, plain.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    packed = server.request("GET", path, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.body) == plain.body == EXAMPLE.replace("Harbour", "<A & B>").encode()
    assert html.count("&lt;A &amp; B&gt;") == 3
    assert "Parley" not in html
    assert re.findall('name="theme-color" content="([^"]*)"', html) == ["#fbfdfd", "#0f1719"]
    for policy in (plain, server.request("GET", "/", headers=BROWSER)):
        assert "style-src 'self'; " in policy.headers["content-security-policy"]


def test_the_logo_and_the_manifest(server: Shared) -> None:
    html = server.request("GET", "/", headers=BROWSER).body.decode()
    logos = re.findall(r'(?:href|src)="(/static/\w+/logo\.svg)"', html)
    assert len(logos) == 3
    assert len(set(logos)) == 1
    answer = server.request("GET", logos[0])
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.body == of(EXAMPLE).picture
    [path] = re.findall(r'rel="manifest" href="([^"]+)"', html)
    answer = server.request("GET", path)
    assert answer.headers["content-type"] == "application/manifest+json"
    manifest, ours = json.loads(answer.body), json.loads((FOLDER / "app.webmanifest").read_bytes())
    assert manifest.pop("name") == manifest.pop("short_name") == "<A & B>"
    assert (manifest.pop("theme_color"), manifest.pop("background_color")) == ("#fbfdfd", "#fbfdfd")
    assert manifest.pop("icons") == [{"src": "logo.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}]
    assert manifest == {name: ours[name] for name in ("id", "start_url", "scope", "display")}


def test_another_theme_has_another_address(server: Shared) -> None:
    def version(one: Shared) -> set[str]:
        return set(re.findall(r"/static/(\w{12})/", one.request("GET", "/", headers=BROWSER).body.decode()))

    with shared(theme=of(EXAMPLE)) as other, shared() as bare:
        seen = [version(each) for each in (server, other, bare)]
        assert bare.request("GET", "/static/theme.css").status == 404
    assert all(len(each) == 1 for each in seen)
    assert len(set.union(*seen)) == 3
