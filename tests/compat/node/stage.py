"""A whole Parley with the scripted upstream, and the tests of a Node client run against it by Node's own runner."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.system.deployment import Deployment, configuration, deployment, upstream, workplace

HERE = Path(__file__).parent
SECONDS = 100
SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"

[[models]]
name = "fickle"
url = "{url}"
model = "scripted"
recovery = "regenerate"
"""
# What the upstream says to messages that hold these words, for what no script can say.
ANSWERS = ('person={"name":"Ada","age":36}', "weather=say 1 tag=get_weather calls=1")


@contextlib.contextmanager
def parley(**env: str) -> Iterator[tuple[Deployment, str]]:
    """``parley up`` with the models `scripted` and `fickle`, which cannot continue an answer; its upstream's URL."""
    answers = [argument for answer in ANSWERS for argument in ("--answer", answer)]
    with workplace() as directory, upstream(directory, *answers) as url:
        path = configuration(directory, SETTINGS.format(url=url))
        with deployment(directory, "--config", path, **env) as up:
            yield up, url


def run_tests(up: Deployment, upstream_url: str, program: str) -> None:
    """Run the tests of one file; none may be left out."""
    environment = {"PARLEY_URL": up.url, "PARLEY_PID": str(up.pid), "UPSTREAM_URL": upstream_url.removesuffix("/v1")}
    ran = subprocess.run(
        ["node", "--test", "--test-reporter=tap", program],
        cwd=HERE,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", ran.stdout, re.MULTILINE)}
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{up.said()}"
    assert counts["pass"] == counts["tests"] > 0, ran.stdout
