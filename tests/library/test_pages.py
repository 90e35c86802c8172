"""The library's pages: the reference is what its tool makes, and each block of the how-to runs."""

from pathlib import Path

from tools.python_page import PAGE, SECTIONS, page

import parley
from parley.testing import Server
from tests.redis_servers import free_port
from tests.system.deployment import environment, workplace
from tests.tutorial import play

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "library.md"


def test_the_reference_is_what_the_tool_makes() -> None:
    assert PAGE.read_text() == page(), "run python tools/python_page.py"


def test_the_reference_leaves_nothing_out() -> None:
    named = {name for names in SECTIONS.values() for name in names}
    assert set(parley.__all__) - {"__version__"} <= named


def test_every_block_of_the_how_to_runs() -> None:
    capitals = {"Italy": "Rome", "France": "Paris", "Spain": "Madrid"}
    with workplace() as directory, Server(answers=capitals) as server:
        play(HOW_TO.read_text(), directory, environment(PARLEY_URL=server.url), {"8123": str(free_port())})
