"""An operator's own looks, in one CSS file that the page has after its own.

It sets the page's variables (app.css), and two of `:root` that the server itself reads:

    :root {
      --name: "Acme";                        /* in place of Parley */
      --logo: url("data:image/svg+xml,…");   /* the icon; beside the name and above the first question, too */
      --paper: light-dark(#fff, #101418);    /* as all variables; browsers paint their own bars like this one */
    }
"""

import base64
import binascii
import difflib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from parley.server import css

MOST_BYTES = 512 * 1024
MOST_LETTERS = 60  # of a name
COLOUR = r"#[0-9a-f]{3,8}|[a-z]+(?:\([^()]*\))?"
PAPER = re.compile(rf"light-dark\(\s*({COLOUR})\s*,\s*({COLOUR})\s*\)|({COLOUR})", re.IGNORECASE)
NAME = re.compile(r"(?P<quote>[\"'])(?P<text>[^\\\x00-\x1f\x7f]+)(?P=quote)")
PICTURE = re.compile(
    r"url\(\s*(?P<quote>[\"']?)data:(?P<type>[\w.+/-]+)(?P<how>[^,]*),(?P<data>.+)(?P=quote)\s*\)", re.I | re.S
)
# What a logo may be, and what it is called when it is served.
LOGOS = {"image/svg+xml": "logo.svg", "image/png": "logo.png", "image/webp": "logo.webp", "image/jpeg": "logo.jpg"}
BAR = re.compile(r'(?<=<meta name="theme-color" content=")[^"]*(?=" media="\(prefers-color-scheme: (light|dark)\)")')
SHEET = '<link rel="stylesheet" href="/static/app.css">'
ICON = 'href="/static/icon.svg" type="image/svg+xml"'
OURS = Path(__file__).parent / "page" / "app.css"
BRAND = '<a class="brand" href="/">'
GREETING = '<p id="greeting">'


class Theme(Struct, frozen=True):
    """What is in such a file.

    Args:
        name: instead of Parley; empty: Parley.
        logo: the type of the picture; empty: there is none.
        paper: the light and the dark colour behind everything, where they can be told.
        notes: what is in it that will not work, a line each.
    """

    css: str
    name: str = ""
    logo: str = ""
    picture: bytes = b""
    paper: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


def read(data: bytes) -> Theme:
    """Read a file.

    Raises:
        ValueError: it cannot be used; where, and why.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    name = logo = ""
    picture = b""
    paper = None
    variables = list(css.variables(text))
    for variable in variables:
        try:
            if variable.name == "--name":
                name = _name(variable.value)
            elif variable.name == "--logo":
                logo, picture = _logo(variable.value)
            elif variable.name == "--paper":
                paper = _paper(variable.value)
        except ValueError as error:
            raise ValueError(f"line {variable.line}: {error}") from None
    return Theme(text, name, logo, picture, paper, (*_unknown(variables, text), *_foreign(text)))


def _unknown(variables: Iterable[css.Variable], text: str) -> Iterator[str]:
    known = {"--name", "--logo", *re.findall(r"(--[\w-]+):", OURS.read_text())}
    for name, _, line in variables:
        if name.startswith("--") and name not in known and not re.search(rf"var\(\s*{re.escape(name)}\s*[,)]", text):
            near = difflib.get_close_matches(name, known, 1)
            yield f"line {line}: {name} is no variable of the page" + (f"; did you mean {near[0]}?" if near else "")


def _foreign(text: str) -> Iterator[str]:
    for line, address in css.addresses(text):
        if not address.lower().startswith(("data:image/", "#")):
            yield (
                f"line {line}: {address[:60]} will not load, as pages ask nobody else: "
                "put pictures in, as url(data:image/…)"
            )


def _name(value: str) -> str:
    found = NAME.fullmatch(value)
    if found is None or not found["text"].strip() or len(found["text"]) > MOST_LETTERS:
        raise ValueError(f'--name must be a text of at most {MOST_LETTERS} letters, like "Acme", without \\')
    return found["text"].strip()


def _logo(value: str) -> tuple[str, bytes]:
    """The type of a picture, and the picture."""
    found = PICTURE.fullmatch(value)
    kind = found["type"].lower() if found else ""
    if found is None or kind not in LOGOS or "\\" in value:
        raise ValueError(
            f'--logo must be url("data:TYPE,…") or url("data:TYPE;base64,…"), TYPE one of {", ".join(LOGOS)}'
        )
    packed = found["how"].lower().endswith(";base64")
    try:
        data = (
            base64.b64decode("".join(found["data"].split()), validate=True)
            if packed
            else unquote_to_bytes(found["data"])
        )
    except binascii.Error:
        raise ValueError("the data of --logo are not Base64") from None
    if kind == "image/svg+xml" and b"http://www.w3.org/2000/svg" not in data:
        raise ValueError('the picture of --logo has no xmlns="http://www.w3.org/2000/svg", and would not be drawn')
    return kind, data


def _paper(value: str) -> tuple[str, str] | None:
    found = PAPER.fullmatch(value)
    return (found[1] or found[3], found[2] or found[3]) if found else None


def dressed(theme: Theme, page: bytes, manifest: bytes) -> dict[str, bytes]:
    """The files of the page that are others with a theme, by their paths."""
    files = {
        "index.html": _page(theme, page.decode()).encode(),
        "app.webmanifest": json.dumps(_manifest(theme, json.loads(manifest)), ensure_ascii=False).encode(),
        "theme.css": theme.css.encode(),
    }
    if theme.logo:
        files[LOGOS[theme.logo]] = theme.picture
    return files


def _page(theme: Theme, html: str) -> str:
    html = html.replace(SHEET, f'{SHEET}\n  <link rel="stylesheet" href="/static/theme.css">')
    if theme.name:
        html = html.replace(">Parley<", f">{escape(theme.name)}<")
    if theme.paper:
        paper = dict(zip(("light", "dark"), theme.paper, strict=True))
        html = BAR.sub(lambda found: escape(paper[found[1]]), html)
    if theme.logo:
        logo = f"/static/{LOGOS[theme.logo]}"
        html = html.replace(ICON, f'href="{logo}" type="{theme.logo}"')
        picture = f'<img class="logo" src="{logo}" alt="">'
        html = html.replace(BRAND, BRAND + picture).replace(GREETING, picture + GREETING)
    return html


def _manifest(theme: Theme, manifest: dict[str, object]) -> dict[str, object]:
    if theme.name:
        manifest |= {"name": theme.name, "short_name": theme.name}
    if theme.paper:
        manifest |= {"background_color": theme.paper[0], "theme_color": theme.paper[0]}
    if theme.logo:
        manifest["icons"] = [{"src": LOGOS[theme.logo], "sizes": "any", "type": theme.logo, "purpose": "any"}]
    return manifest
