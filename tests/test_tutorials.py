"""Every code block of the tutorials runs, top to bottom, and prints what the page says it does."""

from pathlib import Path

import pytest

from tests.redis_servers import free_port
from tests.system.deployment import environment, upstream, workplace
from tests.tutorial import play

PAGES = Path(__file__).parent.parent / "docs" / "tutorials"

CAPITALS = {"Italy": "Rome", "France": "Paris", "Spain": "Madrid", "Portugal": "Lisbon"}


def test_the_stateful_assistant() -> None:
    answers = [word for pair in CAPITALS.items() for word in ("--answer", "=".join(pair))]
    with workplace() as directory, upstream(directory, "--model", "llama3.1:8b", *answers) as url:
        port = str(free_port())
        replace = {"127.0.0.1:11434": url.split("/")[2], "127.0.0.1:8000": f"127.0.0.1:{port}"}
        play((PAGES / "stateful-assistant.md").read_text(), directory, environment(PARLEY_PORT=port), replace)


def test_the_redis_chat() -> None:
    said = {"Hello": "Hello to you, too.", "How are you": "Fine.", "still there": "Always."}
    answers = [word for pair in said.items() for word in ("--answer", "=".join(pair))]
    with workplace() as directory, upstream(directory, "--api-key", "hf_abc", *answers) as url:
        # One after the other: what is put in must not be taken for what is to be replaced.
        redis = next(port for port in (str(free_port()) for _ in range(9)) if "3500" not in port)
        replace = {"6379": redis, "3500": str(free_port()), "127.0.0.1:8080": url.split("/")[2]}
        play((PAGES / "redis-chat.md").read_text(), directory, environment(NO_PROXY="127.0.0.1"), replace)


@pytest.mark.parametrize(
    "page",
    [
        "```sh\nfalse\n```\n",
        "```sh\nfalse | cat\n```\n",
        "```python\nraise SystemExit(3)\n```\n",
        "```sh\necho one\n```\n\n```text\ntwo\n```\n",
        "```sh\necho one\n```\n\n```text\none\ntwo\n```\n",
        "```ruby\n1\n```\n",
    ],
)
def test_a_page_that_does_not_hold_is_noticed(page: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        play(page, tmp_path, environment())


def test_a_page_is_one_session(tmp_path: Path) -> None:
    page = (
        "```sh\nexport A=1; sleep 600 &\n```\n```python\n# made.py\nB = 2\n```\n"
        "```python\nimport os, made\nprint(os.environ['A'], made.B)\n```\n```text\n1 …\n```\n"
    )
    assert play(page, tmp_path, environment()) == ["", "1 2\n"]
