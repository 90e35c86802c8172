"""Every code block of the how-to runs, and prints what the page says."""

from pathlib import Path

from tests.system.deployment import deployment, environment, upstream, workplace
from tests.tutorial import play

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "agents.md"
CAPITALS = ("Italy=Rome", "France=Paris", "Spain=Madrid")


def test_the_page() -> None:
    answers = [word for pair in CAPITALS for word in ("--answer", pair)]
    with (
        workplace() as directory,
        upstream(directory, "--model", "llama3.1:8b", *answers) as url,
        deployment(directory, "--model-url", url, "--model", "llama3.1:8b") as up,
    ):
        play(PAGE.read_text(), directory, environment(), {"127.0.0.1:8000": f"127.0.0.1:{up.port}"})
