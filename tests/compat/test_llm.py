"""The `llm` command, with Parley as one more OpenAI-compatible model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from llm.cli import cli

from tests.compat.place import MODEL, Place, tokens
from tests.system.deployment import environment

MODELS = """
- model_id: chat
  model_name: {model}
  api_base: {url}
  supports_schema: true
  supports_tools: true
- model_id: responses
  model_name: {model}
  api_base: {url}
  responses: true
  supports_schema: true
  supports_tools: true
- model_id: nobody
  model_name: nobody
  api_base: {url}
"""
FUNCTION = "def {name}(number: int) -> str:\n    return f'found {{number}}'\n"
both = pytest.mark.parametrize("kind", ["chat", "responses"])


@pytest.fixture(autouse=True)
def home(parley: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command keeps what a person set up, and said."""
    (tmp_path / "extra-openai-models.yaml").write_text(MODELS.format(model=MODEL, url=parley.url))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    return tmp_path


def attempt(*arguments: str, said: str = "") -> Result:
    """Run the command in this process: it takes seconds to start."""
    return CliRunner().invoke(cli, arguments, input=said)


def run(*arguments: str, said: str = "") -> str:
    """What it prints."""
    ran = attempt(*arguments, said=said)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


@both
def test_a_question(parley: Place, kind: str) -> None:
    tag = f"llm_{kind}"
    assert run("-m", kind, f"say 5 tag={tag} delay=0.01").rstrip() == tokens(tag, 5).rstrip()
    assert run("-m", kind, "--no-stream", f"say 5 tag={tag}_whole").rstrip() == tokens(f"{tag}_whole", 5).rstrip()
    assert (parley.asked(tag), parley.asked(f"{tag}_whole")) == (1, 1)
    logged = json.loads(run("logs", "list", "--json", "-n", "1"))
    assert logged[0]["output_tokens"] == 5


@both
def test_a_talk_goes_on(kind: str) -> None:
    assert run("-m", kind, "hello") == "You said: hello (1 messages)\n"
    assert run("-c", "and now?") == "You said: and now? (3 messages)\n"


@both
def test_chat(kind: str) -> None:
    printed = run("chat", "-m", kind, said="hello\nand now?\nexit\n")
    assert "You said: hello (1 messages)" in printed
    assert "You said: and now? (3 messages)" in printed


@both
def test_a_function(parley: Place, kind: str) -> None:
    name = f"look_llm_{kind}"
    function = FUNCTION.format(name=name)
    printed = run("-m", kind, "--functions", function, f"say 1 tag={name} calls=2")
    # What it says before it calls, and once it knows.
    assert printed.split() == [f"{name}:0000"] * 2
    assert parley.asked(name) == 2
    assert [each["content"] for each in parley.shown()["messages"] if each["role"] == "tool"] == ["found 0", "found 1"]


@both
def test_a_schema(parley: Place, kind: str) -> None:
    printed = run("-m", kind, "--schema", "city, degrees int", "weather-in-rome")
    assert json.loads(printed) == {"city": "Rome", "degrees": 21}
    assert parley.shown()["response_format"]["type"] == "json_schema"


def test_a_model_nobody_has() -> None:
    ran = attempt("-m", "nobody", "hello")
    assert ran.exit_code == 1
    assert "The model 'nobody' does not exist" in ran.stderr


def test_a_model_that_fails() -> None:
    ran = attempt("-m", "chat", "say 3 tag=llm_broken status=400")
    assert ran.exit_code == 1
    assert "upstream refused" in ran.stderr


def test_the_command_itself(home: Path) -> None:
    command = [sys.executable, "-m", "llm", "-m", "responses", "say 5 tag=llm_command"]
    env = environment(LLM_USER_PATH=str(home))
    ran = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    assert ran.stdout.decode().rstrip() == tokens("llm_command", 5).rstrip()
