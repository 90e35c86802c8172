"""Builds the documentation into build/site, strictly, and checks it: `make docs`.

python tools/docs_site.py [FOLDER]

Every link of every page must lead somewhere, no page may ask another host for anything, and `llms.txt` is made: what
there is, a line each, for programs that read. Exit status 1 tells that something is wrong.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / "build" / "site"
# What a browser fetches by itself.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
# Links that are only said, not fetched.
SAID = {"canonical", "next", "prev", "alternate", "edit"}
SECTIONS = ("Start", "Tutorials", "How-to", "Reference", "Design")
INTRODUCTION = """# Parley

> Conversations that do not get lost. A self-hosted, durable, streaming conversation server in front of any
> OpenAI-compatible or Hugging Face model: kill any part and the same reply goes on, each character shown once.

"""


class Links(HTMLParser):
    """What a built page links to, what it fetches, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.fetches: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        elif tag in FETCHED and FETCHED[tag] in given and given.get("rel") not in SAID:
            self.fetches.append(given[FETCHED[tag]])


def build(site: Path) -> None:
    """Run the generator on a copy: it keeps notes beside its settings.

    Raises:
        subprocess.CalledProcessError: it is not content; it has said why.
    """
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        shutil.copytree(DOCS, copy / "docs")
        settings = (ROOT / "mkdocs.yml").read_text()
        (copy / "mkdocs.yml").write_text(settings.replace("site_dir: build/site", "site_dir: site"))
        subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=copy, check=True)
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(copy / "site", site)


def wrong(site: Path) -> Iterator[str]:
    """What is wrong with a built site."""
    pages = {path: Links(path.read_text()) for path in sorted(site.rglob("*.html"))}
    for path, links in pages.items():
        shown = path.relative_to(site)
        for fetched in links.fetches:
            if urlsplit(fetched).netloc:
                yield f"{shown} fetches {fetched}"
            elif not target(site, path, fetched).exists():
                yield f"{shown} fetches {fetched}, which is not there"
        for link in links.leads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            found = target(site, path, link)
            if not found.exists():
                yield f"{shown} links to {link}, which is not there"
            elif parts.fragment and found in pages and unquote(parts.fragment) not in pages[found].places:
                yield f"{shown} links to {link}: there is no such place in it"
    for path in sorted(site.rglob("*.css")):
        for fetched in re.findall(r"(?:url\(|@import )[\"']?(https?:[^)\"']*)", path.read_text()):
            yield f"{path.relative_to(site)} fetches {fetched}"


def target(site: Path, page: Path, link: str) -> Path:
    """The file that a link on a page leads to."""
    path = unquote(urlsplit(link).path)
    if not path:
        return page
    found = (site / path.lstrip("/") if path.startswith("/") else page.parent / path).resolve()
    return found / "index.html" if found.is_dir() else found


def llms() -> str:
    """What there is, a line each: https://llmstxt.org."""
    sections: dict[str, list[str]] = {}
    for path in sorted(DOCS.rglob("*.md")):
        name = path.relative_to(DOCS)
        section = name.parts[0].capitalize() if len(name.parts) > 1 else "Start"
        title, about = described(path.read_text())
        sections.setdefault(section, []).append(f"- [{title}]({name.with_suffix('.html')}): {about}")
    order = sorted(sections, key=lambda each: SECTIONS.index(each) if each in SECTIONS else len(SECTIONS))
    return INTRODUCTION + "\n\n".join(f"## {each}\n\n" + "\n".join(sections[each]) for each in order) + "\n"


def described(page: str) -> tuple[str, str]:
    """The title of a page and the first sentence of it."""
    title, _, rest = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE).partition("\n")
    paragraph = next((part for part in rest.split("\n\n") if part.strip() and part.strip()[0] not in "#|`<!-"), "")
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split())).replace("**Question.** ", "")
    sentence = re.match(r".*?[.?](?= |$)", plain)
    return title.removeprefix("# "), sentence[0] if sentence else plain


def main(arguments: list[str]) -> int:
    """Build and check; the exit status."""
    site = Path(arguments[0]) if arguments else SITE
    try:
        build(site)
    except subprocess.CalledProcessError as error:
        return error.returncode
    (site / "llms.txt").write_text(llms())
    faults = list(wrong(site))
    print("\n".join(faults) or f"{len(list(site.rglob('*.html')))} pages in {site}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
