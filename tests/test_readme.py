"""Every command of the README runs, as written, but for the port and where the data is kept."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_servers import free_port
from tests.system.deployment import Process, environment, running, until, upstream, workplace

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


class Place:
    """A `make run` of this clone, and a shell beside it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.port = free_port()
        self.directory = directory
        arguments = f"--port {self.port} --data {directory}/data --model-url {url} --model scripted"
        self.make = ["make", "-C", str(ROOT), "run", f"ARGS={arguments}"]
        self.env = environment(PARLEY_URL=f"http://127.0.0.1:{self.port}", XDG_STATE_HOME=str(directory))

    def shell(self, commands: str) -> str:
        """Run lines in a shell; all must succeed."""
        text = commands.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}").replace("parley doctor", self._doctor())
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, (text, ran.stdout, ran.stderr)
        return ran.stdout

    def _doctor(self) -> str:
        return f"parley doctor --data {self.directory}/data --port {self.port}"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with workplace() as directory, upstream(directory) as url:
        made = Place(directory, url)
        with running(made.make, directory / "make.log", made.env) as process:
            await_page(process)
            yield made


def await_page(process: Process) -> None:
    """Wait for the line that tells the page's address."""

    def ready() -> bool:
        assert process.process.poll() is None, process.said()
        return "ready in" in process.said()

    until(ready, 60, f"make run: {process.said()}")


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 500


def test_its_blocks_are_the_ones_run_here() -> None:
    assert (len(BLOCKS), len(PROGRAMS)) == (3, 2)
    assert {line.split("#")[0].strip() for line in BLOCKS[0].splitlines()} == {"make run", "make test"}


def test_make_run_serves_the_page(place: Place) -> None:
    assert "<title>Parley</title>" in place.shell("curl -s -H 'Accept: text/html' http://127.0.0.1:8000/")


def test_make_test_finds_the_tests() -> None:
    # The whole of it is what runs this very test.
    command = ["make", "-C", str(ROOT), "test", "ARGS=--collect-only -q tests/test_readme.py"]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=110, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "test_make_test_finds_the_tests" in ran.stdout


def test_a_first_conversation_in_the_terminal(place: Place) -> None:
    said = place.shell(BLOCKS[1])
    assert "Name three rivers of Europe." in said
    assert "one two three" in said


def test_a_first_conversation_over_http(place: Place) -> None:
    said = place.shell(BLOCKS[2])
    for frame in ("receipt", "event: snapshot", "Hello!"):
        assert frame in said, said


@pytest.mark.parametrize(
    ("program", "said"), list(zip(PROGRAMS, ("Name three rivers", "Tell me a story."), strict=True))
)
def test_its_programs_run(place: Place, program: str, said: str) -> None:
    text = program.replace("127.0.0.1:8000", f"127.0.0.1:{place.port}")
    command = [sys.executable, "-c", text]
    ran = subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout


def test_its_comparisons_were_measured() -> None:
    """Each "over so many times" in the order in which it is said."""
    server = json.loads((ROOT / "benchmarks/results.json").read_text())["scenarios"]["beside"]["cases"]
    pages = json.loads((ROOT / "benchmarks/browser.json").read_text())["pages"]
    (ours,), (chainlit,), (litellm,) = (
        server[f"{name}: 20 ms a token"] for name in ("Parley, websocket", "chainlit", "litellm")
    )
    page, peer = pages["Parley"], next(found for name, found in pages.items() if name.startswith("Chainlit"))
    cost, first = "cpu_s_per_million_tokens", "first_token_ms"
    measured = [chainlit[cost] / ours[cost], litellm[cost] / ours[cost]]
    measured += [chainlit[first]["p50"] / ours[first]["p50"], litellm[first]["p50"] / ours[first]["p50"]]
    measured += [peer["ready_ms"] / page["ready_ms"]]
    said = [int(number) for part in re.findall(r"over ([\d and]+?) times", README) for number in part.split(" and ")]
    assert len(said) == len(measured) == 5
    assert all(claim < ratio for claim, ratio in zip(said, measured, strict=True)), (said, measured)


def test_its_links_and_pictures_are_there() -> None:
    named = re.findall(r"\]\((?!http)([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", README)
    assert len(named) >= 6
    for link in (first or second for first, second in named):
        assert (ROOT / link).exists(), link
        assert (ROOT / link).stat().st_size <= 1_000_000
