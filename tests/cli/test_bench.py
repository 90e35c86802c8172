"""`parley bench`: a tiny load over every way in, on a private installation and on one that runs; bad arguments."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parley.bench.drivers import DRIVERS
from tests.redis_servers import free_port
from tests.system.deployment import Deployment, deployment, environment, upstream

PARLEY = (sys.executable, "-P", "-m", "parley", "bench")
TINY = ("--conversations", "2", "--turns", "2", "--rounds", "1")


def bench(*words: str, cwd: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PARLEY, *words], capture_output=True, text=True, cwd=cwd, env=environment(**variables), timeout=100
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A Parley that runs, and whose model says short things."""
    directory = tmp_path_factory.mktemp("bench")
    arguments = ("--answer", "count=one two three four", "--model", "counter")
    with (
        upstream(directory, *arguments) as url,
        deployment(directory, "--model-url", url, "--model", "counter") as running,
    ):
        yield running


def test_a_private_installation(tmp_path: Path) -> None:
    done = bench(*TINY, "--tokens", "10", "--delay", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "replies      4 of 4 right, each character as the model said it" in done.stdout
    for word in ("accepted", "first token", "lag", "delivered", "cost", "memory", "the limit"):
        assert f"\n{word} " in done.stdout
    assert done.stderr.splitlines() == ["warming up", "round 1 of 1", "the model asked directly"]
    assert list(tmp_path.iterdir()) == []


def test_json_has_every_figure(tmp_path: Path) -> None:
    done = bench(*TINY, "--tokens", "10", "--delay", "0", "--rounds", "2", "--json", "-q", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    result: dict[str, Any] = json.loads(done.stdout)
    assert [run["tokens"] for run in result["runs"]] == [40, 40]
    assert {"web", "worker", "redis", "supervisor"} <= set(result["runs"][0]["cpu_s_by_part"])
    assert result["summary"]["replies"] == {"median": 4, "min": 4, "max": 4}


@pytest.mark.parametrize("protocol", DRIVERS)
def test_one_that_runs_over_every_protocol(served: Deployment, protocol: str) -> None:
    done = bench("--url", served.url, "--protocol", protocol, "--model", "counter", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "replies      4 of 4 right" in done.stdout
    assert "redis" in done.stdout  # its processes were found
    with urllib.request.urlopen(f"{served.url}/api/conversations") as answer:
        assert json.loads(answer.read())["data"] == []  # what was said is gone again


def test_replies_of_an_unknown_model_are_compared_with_what_was_kept(served: Deployment) -> None:
    done = bench("--url", served.url, *TINY, "--message", "anything")
    assert "4 of 4 right, each as the server kept it" in done.stdout


def test_a_private_installation_with_a_model_of_ones_own(tmp_path: Path) -> None:
    with upstream(tmp_path) as url:
        done = bench("--model-url", url, *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a private Parley with scripted at" in done.stdout
    assert "the model asked directly" in done.stdout


def test_failed_replies_are_no_success(tmp_path: Path) -> None:
    with upstream(tmp_path) as url:
        done = bench("--model-url", url, *TINY, "--message", "say 5 tag=a error=2", cwd=tmp_path)
    assert done.returncode == 1
    assert "replies      0 of 4 right" in done.stdout
    assert "2 failed" in done.stdout


def test_nobody_there() -> None:
    done = bench("--url", f"http://127.0.0.1:{free_port()}", *TINY)
    assert done.returncode == 1
    assert done.stderr.endswith("cannot be reached: Connection refused\n")
    assert done.stdout == ""


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    done = bench("--model-url", f"http://127.0.0.1:{free_port()}", *TINY, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--conversations", "0"), "a whole number from 1 to 10000, not '0'"),
        (("--rounds", "many"), "a whole number from 1 to 100, not 'many'"),
        (("--delay", "-1"), "milliseconds from 0 to 60000, not '-1'"),
        (("--delay", "nan"), "milliseconds from 0 to 60000, not 'nan'"),
        (("--protocol", "telnet"), "invalid choice: 'telnet'"),
        (("--url", "ws://h"), "--url must be http://... or https://..., not 'ws://h'"),
        (("--url", "http://h", "--workers", "2"), "--workers is for a private installation"),
        (("--url", "http://h", "--tokens", "2"), "--tokens is for the deterministic model"),
        (("--url", "http://h", "--protocol", "chat"), "asks for a model by name: --model"),
        (("--message", "hello"), "--message needs a model of your own"),
        (("--model-url", "h"), "--model-url must be http://"),
    ],
)
def test_bad_arguments_are_told(words: tuple[str, ...], said: str) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
