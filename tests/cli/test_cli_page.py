"""docs/reference/cli.md is what its tool makes of the parsers."""

from tools.cli_page import PAGE, page

from parley.cli.main import VERBS
from parley.client.terminal.words import KEYS, WORDS, help_text


def test_the_reference_is_what_the_tool_makes() -> None:
    assert PAGE.read_text() == page(), "run python tools/cli_page.py"


def test_it_leaves_nothing_out() -> None:
    shown = page()
    assert all(f"\n## parley {name}\n" in shown for name in VERBS)
    assert all(f"`/{word}" in shown for word in WORDS)
    assert all(key in shown and key in help_text() for key in KEYS)
