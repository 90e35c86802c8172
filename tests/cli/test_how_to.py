"""Each block of the how-to of the terminal runs and prints what it says."""

from pathlib import Path

from parley.testing import Server
from tests.system.deployment import environment, workplace
from tests.tutorial import play

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "terminal.md"


def test_every_block_runs() -> None:
    with workplace() as directory, Server(answers={"Italy": "Rome"}) as server:
        play(HOW_TO.read_text(), directory, environment(PARLEY_URL=server.url, XDG_STATE_HOME=str(directory)))
