"""The deployment recipes: systemd takes the units, and what units, compose file and image call, Parley has.

No container is built here; of those files it is read what they name.
"""

import configparser
import http.client
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parley.cli import settings
from parley.cli.sources import PREFIX
from tests.redis_servers import free_port
from tests.redis_servers import running as redis_running
from tests.system.deployment import Process, environment, running, until, upstream, workplace

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = ("parley.service", "parley-worker@.service")
INSTALLED = "/usr/local/lib/parley/bin/parley"
COMPOSE = (DEPLOY / "compose.yaml").read_text()
KEY = "a key of the deployment's test, long enough"


class Unit(configparser.RawConfigParser):
    """A unit file; a directive that is there twice has a value a line."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=True)
        repeated: dict[str, list[str]] = {}
        lines = []
        for line in (DEPLOY / "systemd" / name).read_text().splitlines():
            key, _, value = line.partition("=")
            if key in ("LoadCredential", "SystemCallFilter"):
                repeated.setdefault(key, []).append(value)
            else:
                lines.append(line)
        self.read_string("\n".join(lines))
        self.repeated = repeated

    def command(self, credentials: Path) -> list[str]:
        """What it runs, with the Parley of this environment."""
        program, *arguments = shlex.split(self["Service"]["ExecStart"].replace("%d", str(credentials)))
        assert program == INSTALLED
        return [sys.executable, "-m", "parley", *arguments]

    def variables(self, credentials: Path) -> dict[str, str]:
        """What its environment holds."""
        pairs = shlex.split(self["Service"]["Environment"].replace("%d", str(credentials)))
        return dict(pair.split("=", 1) for pair in pairs)


@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_ones_that_systemd_takes(name: str, tmp_path: Path) -> None:
    service = Unit(name)["Service"]
    assert (service["Type"], service["DynamicUser"], service["ProtectSystem"]) == ("exec", "yes", "strict")
    assert float(service["TimeoutStopSec"]) > 10
    if shutil.which("systemd-analyze") is None:
        return  # elsewhere; above is what can be said without it
    unit = tmp_path / name.replace("@.", "@1.")
    # It looks for the program, too.
    unit.write_text((DEPLOY / "systemd" / name).read_text().replace(INSTALLED, sys.executable))
    ran = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout


def test_the_units_run_what_parley_has() -> None:
    """Their commands, with their credentials and nothing else: a server and two workers answer."""
    web, worker = Unit(UNITS[0]), Unit(UNITS[1])
    with workplace() as directory, redis_running(tcp=True) as redis, upstream(directory) as url:
        port = free_port()
        given = {
            "parley.toml": f'port = {port}\nmodel_url = "{url}"\nmodel = "scripted"\n',
            "access_key": KEY + "\n",
            "redis": redis.url + "\n",
        }
        for unit, wanted in ((web, set(given)), (worker, set(given) - {"access_key"})):
            assert {each.partition(":")[0] for each in unit.repeated["LoadCredential"]} == wanted
        for name, text in given.items():
            (directory / name).write_text(text)
        env = {name: value for name, value in environment().items() if name != "HOME"}
        with (
            running(web.command(directory), directory / "web.log", env | web.variables(directory)) as one,
            running(worker.command(directory), directory / "1.log", env | worker.variables(directory)),
            running(worker.command(directory), directory / "2.log", env | worker.variables(directory)),
        ):
            until(lambda: _ready(port, one), 30, "the server to be ready")
            assert _call(port, "POST", "/token?name=Ann", "")[0] == 401
            made = _call(port, "POST", "/api/conversations", KEY)[1]
            path = f"/api/conversations/{made['id']}"
            assert _call(port, "POST", f"{path}/turns", KEY, {"input": "Hello"})[0] in (200, 201, 202)
            until(lambda: _said(port, path) == ["You said: Hello (1 messages)"], 20, "the answer")


def test_the_compose_file_describes_what_parley_has() -> None:
    commands = [json.loads(each) for each in re.findall(r"^    command: (\[.*\])$", COMPOSE, re.MULTILINE)]
    assert [command[0] for command in commands] == ["serve", "work", "redis-server"]
    for command in commands[:2]:
        usage = subprocess.run(
            [sys.executable, "-m", "parley", command[0], "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert all(word in usage for word in command[1:] if word.startswith("--"))
    files = {f"{PREFIX}{name.upper()}_FILE" for name in settings.SECRETS}
    known = files | {f"{PREFIX}{name.upper()}" for name in settings.names()}
    used = set(re.findall(r"^\s+(PARLEY_\w+):", COMPOSE, re.MULTILINE))
    assert used
    assert used <= known
    for target in re.findall(r"/run/secrets/([\w.]+)", COMPOSE):
        assert f"  {target}: {{file: ./{target}}}" in COMPOSE
    # What Parley asks of a Redis: nothing it keeps may be evicted, and what was acknowledged is on disk.
    assert {"--appendonly", "noeviction"} <= set(commands[2])


def test_the_dockerfile_copies_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    sources = [word for each in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE) for word in each.split()[:-1]]
    assert {"requirements.lock", "pyproject.toml", "src"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    assert "--require-hashes" in stages[0]
    assert re.search(r"^USER (?!0|root)", stages[1], re.MULTILINE)


def test_the_how_to_names_the_files_there_are() -> None:
    text = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    named = re.findall(r"`?(deploy/[\w./@-]+\w)", text)
    assert len(named) >= 4
    assert all((ROOT / name).exists() for name in named)
    [toml] = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    with workplace() as directory:
        (directory / "parley.toml").write_text(toml)
        loaded = settings.load({}, {"PARLEY_ACCESS_KEY": KEY}, directory)
    assert loaded.origins == ("https://chat.example.com",)
    assert [model.name for model in loaded.models] == ["main"]


def _call(port: int, method: str, path: str, key: str, body: object = None) -> tuple[int, dict[str, object]]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        link.request(method, path, json.dumps(body or {}), headers)
        answer = link.getresponse()
        found: dict[str, object] = json.loads(answer.read())
        return answer.status, found
    finally:
        link.close()


def _ready(port: int, process: Process) -> bool:
    assert process.process.poll() is None, process.said()
    try:
        return _call(port, "GET", "/readyz", "")[0] == 200
    except OSError:
        return False


def _said(port: int, path: str) -> list[object]:
    listed = _call(port, "GET", f"{path}/turns", KEY)[1]["data"]
    assert isinstance(listed, list)
    return [turn["text"] for turn in listed]
