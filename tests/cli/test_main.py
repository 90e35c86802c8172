"""The command line's frame: verbs, help, exit statuses, and how little it takes to say --help."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from parley.cli import main as frame
from parley.cli.main import main
from tests.redis_servers import free_port, running

PARLEY = (sys.executable, "-P", "-m", "parley")


def parley(*words: str, cwd: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [*PARLEY, *words], capture_output=True, text=True, cwd=cwd, env={**kept, **variables}, timeout=60
    )


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        shown = capsys.readouterr().out
        assert all(f"  {verb} " in shown for verb in frame.VERBS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["version"], ["--version"]):
        assert main(words) == 0
        assert capsys.readouterr().out == f"parley {version('parley')}\n"


def test_every_verb_has_help_and_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in frame.VERBS:
        with pytest.raises(SystemExit) as caught:
            main([verb, "--help"])
        assert caught.value.code == 0
        assert f"usage: parley {verb}" in capsys.readouterr().out
        with pytest.raises(SystemExit) as caught:
            main([verb, "--no-such-flag"])
        assert caught.value.code == 2
        capsys.readouterr()


def test_an_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chatt"]) == 2
    assert capsys.readouterr().err == "parley: there is no 'chatt': did you mean chat?\n"
    assert main(["nothing-like-it"]) == 2
    assert capsys.readouterr().err == "parley: there is no 'nothing-like-it'; see parley --help\n"


def test_help_of_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["help", "chat"])
    assert caught.value.code == 0
    assert "usage: parley chat" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["version"], ["config"], ["completion", "bash"]])
def test_a_disk_that_is_full_is_one_line_and_status_1(words: list[str], tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [*PARLEY, *words], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60, check=False
        )
    assert (ran.returncode, ran.stderr) == (1, "parley: the output cannot be written: No space left on device\n")


def test_no_verb_is_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "eighty"]) == 2
    assert capsys.readouterr().err.startswith("parley: port (from --port) cannot be used")


def test_the_promised_flags_of_up(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["up", "--help"])
    shown = capsys.readouterr().out
    for flag in ("model-url", "model", "redis", "prefix", "host", "port", "data", "serves", "workers", "config"):
        assert f"--{flag} " in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--port", "0"], "port (from --port)"),
        (["up", "--port", "-1"], "port (from --port)"),
        (["up", "--host", "0.0.0.0"], "can be reached by others"),
        (["up", "--prefix", "a b"], "prefix (from --prefix)"),
        (["up", "--prefix", ""], "prefix (from --prefix)"),
        (["up", "--redis", "http://h"], "redis (from --redis)"),
        (["up", "--config", "/nowhere.toml"], "/nowhere.toml cannot be read"),
        (["up", "--model-url", "ftp://h"], "model_url (from --model-url)"),
        (["up", "--workers", "-1"], "workers (from --workers)"),
        (
            ["work", "--data", "/nonexistent", "--model-url", "http://h", "--model", "m"],
            "no Redis runs on the data directory",
        ),
    ],
)
def test_bad_settings_are_one_line_and_status_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = parley(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("parley: ")
    assert done.stderr.count("\n") == 1


def test_a_failure_is_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path)
    flags = (
        "--data",
        str(tmp_path / "data"),
        "--port",
        str(free_port()),
        "--model-url",
        "http://127.0.0.1:1",
        "--model",
        "m",
    )
    done = parley("up", *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is a symlink" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"), "set maxmemory-policy to noeviction"),
        (("--replicaof", "127.0.0.1", "1"), "read-only replica: name its primary"),
        (("--requirepass", "another"), "refused the user or password"),
    ],
)
def test_an_unfit_redis_is_refused_at_start(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    with running(None, *arguments, tcp=True) as server:
        url = f"redis://:s3cr3t@127.0.0.1:{server.port}" if "--requirepass" in arguments else server.url
        port = str(free_port())
        done = parley("up", "--redis", url, "--port", port, "--model-url", "http://h", "--model", "m", cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "s3cr3t" not in done.stderr + done.stdout
    assert done.stderr.count("\n") == 1


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("parley.cli.version.run", interrupt)
    assert main(["version"]) == 130


def test_a_bug_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("parley.cli.version.run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["version"])


def test_help_imports_next_to_nothing() -> None:
    """0.1 s at most: measured 0.02 s of CPU; what would break it is an import, so that is what is looked at."""
    program = (
        "import sys, parley.cli.main as m; m.main(['--help']); "
        "print(','.join(sorted(name for name in sys.modules if not name.startswith('_'))), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.strip().split(","))
    assert not loaded & {"asyncio", "redis", "aiohttp", "msgspec", "starlette", "uvicorn", "ssl", "parley.cli.settings"}


def test_the_working_directory_does_not_shadow_our_modules(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('shadowed')")
    done = parley("up", "--port", "0", cwd=tmp_path)
    assert "shadowed" not in done.stderr
    assert done.returncode == 2
