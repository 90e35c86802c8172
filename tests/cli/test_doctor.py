"""The doctor: everything found is said, everything missing comes with a fix, and the status tells them apart."""

from pathlib import Path

import pytest

from parley.cli import model_search
from parley.cli.main import main
from parley.cli.supervisor import listen
from parley.store.embedded import EmbeddedRedis
from tests.redis_servers import free_port, running

SECRET = "s3cr3t-p4ss"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No other server of this machine, no settings of the person who runs the tests."""
    monkeypatch.setattr(model_search, "PORTS", {})
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "OLLAMA_HOST", "OPENAI_BASE_URL", "MODEL_URL"):
        monkeypatch.delenv(name, raising=False)


def doctor(capsys: pytest.CaptureFixture[str], directory: Path, *flags: str) -> tuple[int, str]:
    model = () if "--model-url" in flags else ("--model-url", "http://127.0.0.1:1", "--model", "m")
    status = main(["doctor", "--data", str(directory), *model, *flags])
    shown = capsys.readouterr().out
    assert SECRET not in shown
    return status, shown


def test_all_is_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, shown = doctor(capsys, tmp_path / "data", "--port", str(free_port()))
    assert status == 0, shown
    assert "to be embedded" in shown
    assert "is free" in shown
    assert "port from --port" in shown
    assert "BAD" not in shown


def test_an_embedded_server_that_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "data")
    server.start()
    try:
        status, shown = doctor(capsys, tmp_path / "data", "--port", str(free_port()))
    finally:
        server.stop()
    assert status == 0, shown
    assert "embedded, runs now" in shown


def test_a_server_that_was_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with running(None, "--requirepass", SECRET, tcp=True) as server:
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}"
        status, shown = doctor(capsys, tmp_path / "data", "--redis", url, "--port", str(free_port()))
        assert status == 0, shown
        assert f"at redis://127.0.0.1:{server.port}; keeps an append-only file" in shown
        status, shown = doctor(capsys, tmp_path / "data", "--redis", f"redis://:wrong@127.0.0.1:{server.port}")
        assert status == 1
        assert "refused the user or password" in shown
    with running(None, "--appendonly", "no", tcp=True) as server:
        url = f"127.0.0.1:{server.port}"
        status, shown = doctor(capsys, tmp_path / "data", "--redis", url, "--port", str(free_port()))
        assert status == 0, shown
        assert "appendonly yes" in shown


def test_what_is_wrong_comes_with_a_fix(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    port = free_port()
    with listen("127.0.0.1", port):
        status, shown = doctor(
            capsys,
            tmp_path / "data",
            "--port",
            str(port),
            "--model-url",
            "http://127.0.0.1:1",
            "--redis",
            "127.0.0.1:1",
        )
    assert status == 1
    assert shown.count("BAD") == 4  # redis, port, model, data
    assert shown.count("fix:") >= 4
    assert "choose another with --port" in shown
    assert "can be written by anybody" in shown


def test_a_variable_of_another_program_is_noted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setattr("sys.argv", ["parley"])
    status = main(["doctor", "--data", str(tmp_path / "data"), "--port", str(free_port())])
    shown = capsys.readouterr().out
    assert "OLLAMA_HOST" in shown
    assert "built in (a tiny demo model)" in shown or "none was found" in shown
    assert status == (0 if "built in" in shown else 1)
