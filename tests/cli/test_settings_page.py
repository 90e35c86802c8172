"""docs/reference/settings.md is what its tool makes of the settings."""

from tools.settings_page import PAGE, page

from parley.cli.settings import TABLES, names


def test_the_reference_is_what_the_tool_makes() -> None:
    assert PAGE.read_text() == page(), "run python tools/settings_page.py"


def test_it_leaves_nothing_out() -> None:
    shown = page()
    assert all(f"| `{name}` |" in shown for name in (*names(), *TABLES))
