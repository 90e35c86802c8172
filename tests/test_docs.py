"""The documentation: it builds, its links lead somewhere, and what it tells people to type can be typed."""

import asyncio
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import docs_site

from parley.cli.main import VERBS, prepare
from parley.cli.settings import load
from parley.testing import Server
from tests.browser.chromium import Watch, chromium
from tests.redis_servers import running as redis_running
from tests.system.deployment import environment, workplace
from tests.tutorial import play

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(?:^|[|;$(&] ?)parley (?P<words>[^|;)&#\n]*)", re.MULTILINE)
# What is run by somebody who reads it.
RUN = ("sh", "python", "console", "tsx")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    assert docs_site.main([str(folder)]) == 0
    return folder


def test_the_site_is_whole(site: Path) -> None:
    for page in PAGES:
        assert (site / page).with_suffix(".html").is_file()
    told = (site / "llms.txt").read_text()
    for link in re.findall(r"^- \[.+\]\((.+?)\): \S", told, re.MULTILINE):
        assert (site / link).is_file()
    assert told.count("\n- [") == len(PAGES)


def test_nobody_is_sent_to_another_package_of_our_name() -> None:
    texts = [*PAGES.values(), (ROOT / "README.md").read_text()]
    texts += [path.read_text() for path in sorted((ROOT / "src").rglob("*.py"))]
    for text in texts:
        assert re.search(r"(?:pip|pipx|uv tool) install '?parley|uvx parley", text) is None


@pytest.mark.browser
def test_its_pages_ask_nobody_else(site: Path) -> None:
    async def main() -> None:
        async with chromium() as browser:
            context = await browser.new_context()
            watch = Watch(context, f"file://{site}/")
            page = await context.new_page()
            for name in ("index", "explanation", "reference/protocol"):
                await page.goto(f"file://{site}/{name}.html", wait_until="load")
                await page.get_by_role("heading", level=1).wait_for()
            assert [each for each in watch.requests if not each.startswith("file://")] == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<a href="gone.html">x</a>', "links to gone.html, which is not there"),
        ('<a href="#nowhere">x</a>', "links to #nowhere: there is no such place in it"),
        ('<img src="https://pictures.example/x.png">', "fetches https://pictures.example/x.png"),
        ('<script src="gone.js"></script>', "fetches gone.js, which is not there"),
    ],
)
def test_a_fault_of_a_page_is_noticed(tmp_path: Path, page: str, fault: str) -> None:
    (tmp_path / "page.html").write_text(
        f'<link rel="canonical" href="https://x.example/"><a href="page.html">x</a>{page}'
    )
    assert list(docs_site.wrong(tmp_path)) == [f"page.html {fault}"]


def calls() -> Iterator[tuple[str, str]]:
    """Every `parley …` that a block of a page tells to type, and the page."""
    for page, text in PAGES.items():
        for tag, block in BLOCK.findall(text):
            if tag in ("sh", "console", ""):
                for found in CALL.finditer(block.replace("\\\n", "")):
                    yield page, found["words"].strip()


@pytest.mark.parametrize(("page", "words"), sorted(set(calls())))
def test_every_command_is_one(page: str, words: str) -> None:
    verb, *rest = shlex.split(words) or ["up"]
    if verb not in VERBS:
        assert verb.startswith("-"), f"{page}: parley {words}"
        verb, rest = "up", [verb, *rest]
    rest = rest[: next((at for at, word in enumerate(rest) if re.match(r"\d?[<>]", word)), len(rest))]
    # Where the reader has something installed, this machine may have nothing.
    rest = [sys.executable if word.startswith("/opt/") else word for word in rest]
    parser, _ = prepare(verb)
    parser.parse_args(rest)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "```toml\n" in text])
def test_every_settings_file_can_be_one(page: str, tmp_path: Path) -> None:
    for tag, block in BLOCK.findall(PAGES[page]):
        if tag == "toml":
            (tmp_path / "parley.toml").write_text(block)
            assert load({}, {}, tmp_path).sources


def test_what_redis_is_told_it_understands() -> None:
    told = [block.split() for tag, block in BLOCK.findall(PAGES["how-to/redis.md"]) if not tag]
    assert told
    for words in told:
        options = [f"--{word}" if at % 2 == 0 else word for at, word in enumerate(words)]
        with redis_running(None, *options):
            pass


def test_the_react_page_names_the_packages_that_were_tried() -> None:
    [command] = [block for tag, block in BLOCK.findall(PAGES["how-to/react.md"]) if tag == "sh"]
    tried = (ROOT / "tests/compat/node/package.json").read_text()
    assert all(f'"{package}"' in tried for package in command.split()[2:])


def test_the_first_page_s_blocks_run() -> None:
    with workplace() as directory, Server(answers={"Italy": "Rome", "rivers": "Po, Ebro, Elbe"}) as server:
        env = environment(PARLEY_URL=server.url, XDG_STATE_HOME=str(directory))
        # The shell that plays a page is told by its standard input what to do.
        shell, program = play(PAGES["index.md"], directory, env, {'Europe."': 'Europe." < /dev/null'})
    assert "Po, Ebro, Elbe" in shell
    assert "You said: Count these words." in shell
    assert program == "Rome\n"


def test_every_page_with_something_to_run_is_run() -> None:
    """By a test that names it, unless all there is to run are commands of ours, which are tried here."""
    tests = "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*.py")))
    for page, text in PAGES.items():
        blocks = [block for tag, block in BLOCK.findall(text) if tag in RUN]
        lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines() if line.strip()]
        if not all(line.removeprefix("$ ").startswith("parley ") for line in lines):
            assert Path(page).name in tests, f"no test runs the blocks of {page}"
