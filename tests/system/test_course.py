"""The first course's page on a whole Parley, as its how-to says, and on the real built-in model."""

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from parley.wire.serverless import CUT
from tests.system.deployment import Deployment, configuration, deployment, environment, upstream, workplace

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "openserverless.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SETTINGS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]
ANSWERS = ("--answer", "Italy=It is Rome.", "--answer", "France=Paris, of course.")


def post(up: Deployment, path: str, body: dict[str, Any], status: int = 200) -> Any:
    """One call of the page."""
    request = urllib.request.Request(f"{up.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        answer = urllib.request.urlopen(request, timeout=120)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read().decode()
    assert answer.status == status, text
    return [json.loads(line) for line in text.splitlines()] if path.startswith("/web/") else json.loads(text)


def shell(text: str, **variables: str) -> str:
    """Run a block of the page."""
    env = environment(**variables) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, (text, ran.stdout, ran.stderr)
    return ran.stdout


def test_every_block_of_the_how_to_runs() -> None:
    """A26: greeting, state, "Italy" is Rome, "France" is Paris; then the same as a stream."""
    whole, streamed, password = SHELL
    with workplace() as directory, upstream(directory, *ANSWERS) as url:
        with deployment(directory, "--model-url", url, "--model", "scripted") as up:
            said = shell(whole.replace("http://127.0.0.1:8000", up.url))
            greeting, second = [json.loads(reply) for reply in said.replace("}{", "}\n{").splitlines()]
            assert greeting == {"output": "Hello from scripted.", "streaming": True}
            assert second["output"] == "Paris, of course."
            told = shell(streamed.replace("http://127.0.0.1:8000", up.url)).splitlines()
            assert list(json.loads(told[0])) == ["state"]
            assert "".join(json.loads(line).get("output", "") for line in told) == "You said: Hello! (1 messages)"
            assert json.loads(told[-1]) == {}
        # Who may ask: the password of the first block is the one of the settings.
        assert shell(password).startswith("scrypt$")
        config = configuration(directory, f'model_url = "{url}"\nmodel = "scripted"\n{SETTINGS}')
        with deployment(directory, "--config", config) as up:
            login = {"username": "ann", "password": "a long password"}
            token = post(up, "/api/my/mastrogpt/login", login)["token"]
            assert token.startswith("ann:")
            assert post(up, "/api/my/mastrogpt/login", login | {"password": "x"}) == {"authenticated": False}
            index = json.loads(urllib.request.urlopen(f"{up.url}/api/my/mastrogpt/index", timeout=10).read())
            assert index["services"] == {"Parley": [{"name": "scripted", "url": "parley/assistant"}]}
            refused = post(up, "/api/my/parley/assistant", {"input": "", "token": "nobody:"}, 401)
            assert refused.keys() == {"output"}
            # A wrong password is no login: the token still counts.
            reply = post(up, "/api/my/parley/assistant", {"input": "Italy?", "token": token})
            assert reply["output"] == "It is Rome."
            told = post(
                up, "/web/parley/parley/assistant", {"input": "France?", "token": token, "state": reply["state"]}
            )
            assert told[0] == {"state": reply["state"]}
            assert "".join(item.get("output", "") for item in told) == "Paris, of course."


@pytest.mark.model
@pytest.mark.timeout(300)
def test_the_pages_conversation_with_the_real_built_in_model() -> None:
    """A26: it answers, whole and streamed, on one state; what it says is its own affair."""
    with workplace() as directory:
        kept = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "parley"
        (directory / "data").mkdir(mode=0o700)
        for name in ("models", "model"):
            with contextlib.suppress(OSError):
                (directory / "data" / name).symlink_to(kept / name)
        with deployment(directory) as up:
            assert up.parts("model-server")
            greeting = post(up, "/api/my/parley/assistant", {"input": ""})
            assert greeting.keys() == {"output", "streaming"}
            first = post(up, "/api/my/parley/assistant", {"input": "What is the capital of Italy?"})
            print(f"\n> Italy\n{first['output']}")
            told = post(
                up, "/web/parley/parley/assistant", {"input": "And the capital of France?", "state": first["state"]}
            )
            output = "".join(item.get("output", "") for item in told)
            print(f"> France\n{output}")
            assert first["output"].strip()
            assert output.strip()
            assert "[error" not in first["output"] + output
            assert told[0] == {"state": first["state"]}
            turns = f"{up.url}/api/conversations/{first['state']}/turns"
            stored = json.loads(urllib.request.urlopen(turns, timeout=10).read())["data"]
            # An answer as long as it may get is marked where it is shown, not where it is stored.
            shown = [each.removesuffix(CUT) for each in (first["output"], output)]
            assert [turn["text"] for turn in stored] == shown
