"""Every word of the page in every language, and the page turned for those that are written from right to left."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

import parley as package
from tests.browser.chromium import PAGE, in_page, modules, play
from tests.browser.stage import parley, visit

pytestmark = pytest.mark.browser

SOURCE = Path(package.__file__).parent
LANGUAGES = {"ar", "de", "es", "fr", "it", "ja", "pt-BR", "zh-Hans"}
# The same everywhere.
NAMES = {"Parley"}
# In a file, which `parley export` writes alike.
EXPORTED = {"Conversation", "Assistant"}
# Words of the machine that begin like those for people.
TECHNICAL = re.compile(
    r"(?:Enter|Escape|Arrow(?:Up|Down)|Tab|Home|End|Blob|Bearer .*|Content-Type|Control|Meta|Shift|GET|POST|PATCH"
    r"|Last-Event-ID|Code|Object|Array|Array\w+|Promise|Image|File|Files)"
)


def modules_of_the_page() -> dict[str, str]:
    """The page's own modules, without their comments."""
    found = {}
    for path in sorted((PAGE / "js").glob("*.js")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        found[path.name] = re.sub(r"(?m)(?<![:\"'`\\/])//[^\n]*$", "", text)
    return found


class Spoken(HTMLParser):
    """What stands in the page itself for people to read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = self._inside or tag == "body"
        if self._inside:
            self.found |= {value for name, value in attrs if name in ("aria-label", "placeholder", "title") and value}

    def handle_data(self, data: str) -> None:
        if self._inside and data.strip():
            self.found.add(data.strip())


def keys() -> set[str]:
    """All that is said in English."""
    calls = re.compile(r'\bt\(\s*"((?:[^"\\]|\\.)*)"')
    said = {json.loads(f'"{key}"') for text in modules_of_the_page().values() for key in calls.findall(text)}
    return (said | Spoken((PAGE / "index.html").read_text()).found) - NAMES


def dictionary(language: str) -> dict[str, Any]:
    """A language's words."""
    words: dict[str, Any] = json.loads((PAGE / "i18n" / f"{language}.json").read_text())
    return words


def values(text: str) -> list[str]:
    """The names of the values in a text."""
    return sorted(re.findall(r"\{\w+\}", text))


def test_each_language_says_all_and_nothing_else() -> None:
    assert {path.stem for path in (PAGE / "i18n").glob("*.json")} == LANGUAGES
    wanted = keys()
    for language in LANGUAGES:
        words = dictionary(language)
        assert (language, wanted - set(words), set(words) - wanted) == (language, set(), set())
        for key, said in words.items():
            for form in said.values() if isinstance(said, dict) else [said]:
                assert form.strip(), key
                # One and two may be words of their own.
                assert values(form) == values(key) or (isinstance(said, dict) and not values(form)), (language, key)


def test_each_language_has_the_plurals_it_needs() -> None:
    script = """(languages) => import("/static/js/i18n.js").then(({SINGULAR}) => ({
      counted: Object.keys(SINGULAR),
      plurals: languages.map((each) => new Intl.PluralRules(each).resolvedOptions().pluralCategories),
    }))"""

    async def main() -> None:
        async with modules() as page:
            got = await in_page(page, script, sorted(LANGUAGES))
            assert set(got["counted"]) <= keys()
            for language, categories in zip(sorted(LANGUAGES), got["plurals"], strict=True):
                for key in got["counted"]:
                    assert set(dictionary(language)[key]) == set(categories), (language, key)

    play(main())


def test_whatever_a_module_says_passes_through_t() -> None:
    texts = re.compile(r"\"((?:[^\"\\\n]|\\.)*)\"|`((?:[^`\\]|\\.)*)`")
    loose = []
    for name, module in modules_of_the_page().items():
        if name == "i18n.js":
            continue
        module = re.sub(r'\bt\(\s*"(?:[^"\\]|\\.)*"', "t(", module)
        module = re.sub(
            r"(?m)^\s*(?:import|export) .*? from .*$|console\.\w+\(.*$|new \w*Error\(.*$|querySelector.*$", "", module
        )
        for quoted, template in texts.findall(module):
            text = quoted or template
            if re.match(r"[A-Z][a-z]+", text) and text not in NAMES | EXPORTED and not TECHNICAL.fullmatch(text):
                loose.append((name, text))
    assert loose == []


# Told to programs only, or never told: a turn of which it is so goes on in another way.
UNSEEN = {"continue_refused"}


def test_every_failure_of_a_reply_has_a_sentence() -> None:
    errors = re.compile(r'\b(?:ModelError|TurnError)\(\s*"(\w+)"')
    scripts = re.compile(r'"error":\{"code":"(\w+)"')
    parts = [SOURCE / name for name in ("models", "worker", "store", "server/telling.py")]
    files = [path for part in parts for path in (part.rglob("*") if part.is_dir() else [part])]
    codes = {"turn_timeout", "upstream_stalled"}  # why a turn is interrupted
    for path in files:
        if path.suffix in (".py", ".lua"):
            codes |= set((errors if path.suffix == ".py" else scripts).findall(path.read_text()))
    assert codes >= {"upstream_error", "worker_lost", "queue_timeout"}
    sentences = set(re.findall(r"(?m)^  (\w+): ", (PAGE / "js/trouble.js").read_text()))
    assert codes - UNSEEN <= sentences


def test_the_nearest_language_is_spoken() -> None:
    cases = {
        "de-AT": "de", "pt-PT": "pt-BR", "zh-CN": "zh-Hans", "zh-TW": "en", "zh": "zh-Hans", "ar-EG": "ar",
        "EN-gb": "en", "tlh": "en", "": "en", "not a language!": "en", "ja-JP": "ja",
    }  # fmt: skip

    async def main() -> None:
        async with modules() as page:
            script = """async (all) => {
              const {pick} = await import("/static/js/i18n.js");
              return all.map((each) => pick([each]));
            }"""
            assert dict(zip(cases, await in_page(page, script, list(cases)), strict=True)) == cases
            order = 'async () => (await import("/static/js/i18n.js")).pick(["xx", "fr-CA", "de"])'
            assert await in_page(page, order) == "fr"

    play(main())


def test_arabic_is_written_from_right_to_left_and_can_be_changed() -> None:
    async def main() -> None:
        with parley() as up:
            async with visit(up, locale="ar-EG") as (context, watch):
                page = await context.new_page()
                await page.goto(up.url)
                words = dictionary("ar")
                field = page.get_by_role("textbox", name=words["Message"], exact=True)
                await field.fill("say 5 tag=rtl")
                await field.press("Enter")
                reply = page.get_by_role("article", name=words["Reply"])
                await expect(reply).to_have_attribute("aria-busy", "false")
                html = page.locator("html")
                await expect(html).to_have_attribute("dir", "rtl")
                await expect(html).to_have_attribute("lang", "ar")
                sidebar = await page.locator("#sidebar").bounding_box()
                main_part = await page.locator("#main").bounding_box()
                assert sidebar
                assert main_part
                assert sidebar["x"] > main_part["x"], "the list stands where one begins to read"
                await page.get_by_role("button", name=words["Settings"]).click()
                await page.get_by_label(words["Language"]).select_option("it")
                await expect(html).to_have_attribute("lang", "it")
                await expect(html).to_have_attribute("dir", "ltr")
                await expect(page.get_by_role("article", name=dictionary("it")["Reply"])).to_contain_text("rtl:0004")
                assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_directions_are_those_of_the_language_only() -> None:
    """Left and right have no place in the styles, save where both are given."""
    css = re.sub(r"/\*.*?\*/", "", (PAGE / "app.css").read_text(), flags=re.DOTALL)
    physical = re.compile(
        r"(?:margin|padding|border)-(?:left|right)|(?<![\w-])(?:left|right|float)\s*:|text-align:\s*(?:left|right)"
    )
    assert physical.findall(css) == []


def test_the_page_has_no_language_that_cannot_be_chosen() -> None:
    names = re.search(r"LANGUAGES = \{(.*?)\};", Path(PAGE / "js/i18n.js").read_text(), re.DOTALL)
    assert names
    assert set(re.findall(r'"?([\w-]+)"?: "', names[1])) == LANGUAGES | {"en"}
