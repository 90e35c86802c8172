"""`parley chaos`: a short run end to end, planted faults that it must catch, Ctrl-C, bad arguments."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from parley.chaos.viewer import Viewer
from parley.cli.main import main
from tests.cli.pseudo_terminal import PseudoTerminal
from tests.system.deployment import environment

PARLEY = (sys.executable, "-P", "-m", "parley", "chaos")
TINY = ("--duration", "3", "--conversations", "3", "--workers", "2", "--servers", "1")
Take = Callable[[Viewer, dict[str, Any]], None]


def chaos(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*PARLEY, *words], capture_output=True, text=True, env=environment(), timeout=110)


def test_a_short_run() -> None:
    done = chaos(*TINY, "--seed", "7", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["answered"] == found["accepted"] >= 3
    assert [found[name] for name in ("lost", "repeated", "out_of_order", "wrong", "left")] == [0] * 5
    assert sum(found["hurt"]["work"].values()) >= 1
    assert set(found["hurt"]) == {"work", "serve", "redis"}
    assert found["seed"] == 7
    assert found["characters"] >= found["answered"] * 2 * 100
    assert done.stderr.startswith(
        "a private Parley: workers 2, web servers 1, Redis 1; conversations 3; for 3 s are hurt: workers, "
    )


def test_only_what_is_named_is_hurt() -> None:
    done = chaos(*TINY, "--kill", "work", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    head, _, verdict = done.stdout.partition("\n\n")
    assert head.startswith("workers ")
    assert "web servers" not in head
    assert verdict.startswith("Kept: all ")


def once(fault: Callable[[Take, Viewer, dict[str, Any]], bool]) -> Take:
    """A viewer whose connection is faulty until the fault has happened."""
    right, happened = Viewer.take, False

    def take(viewer: Viewer, frame: dict[str, Any]) -> None:
        nonlocal happened
        if not happened and frame["type"] == "delta":
            happened = fault(right, viewer, frame)
        else:
            right(viewer, frame)

    return take


def repeat(right: Take, viewer: Viewer, frame: dict[str, Any]) -> bool:
    right(viewer, frame)
    right(viewer, frame)
    return True


def lose(right: Take, viewer: Viewer, frame: dict[str, Any]) -> bool:
    return True


@pytest.mark.parametrize(("fault", "what"), [(repeat, "repeated"), (lose, "lost")])
def test_a_planted_fault_is_caught(
    fault: Callable[[Take, Viewer, dict[str, Any]], bool],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Viewer, "take", once(fault))
    assert main(["chaos", *TINY, "--kill", "work", "--seed", "3", "-q"]) == 1
    told = capsys.readouterr().out
    assert f"\n{what:22}1\n" in told
    assert f"\n  {what}: " in told
    assert told.endswith("VIOLATED, flaws: 1. Seed 3.\n")


def test_ctrl_c_ends_it_with_a_verdict() -> None:
    async def talk() -> tuple[int, str]:
        command = [*PARLEY, "--duration", "600", "--conversations", "3", "--kill", "work"]
        async with PseudoTerminal(command, environment(TERM="xterm-256color"), deadline=80) as terminal:
            await terminal.shows("to go (Ctrl-C: end it now)")
            for name in ("alive", "workers", "messages accepted", "takeovers", "longest frozen reply"):
                await terminal.shows(name)
            while "takeovers                        0" in terminal.text[-250:]:
                await terminal.shows("longest frozen reply")
            terminal.type("\x03")
            await terminal.shows("Kept: all ")
            return await terminal.exit(), terminal.text

    status, shown = asyncio.run(talk())
    assert status == 0
    assert ", cut short after " in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--duration", "0"), "seconds from 1 to 3600, not '0'"),
        (("--duration", "nan"), "seconds from 1 to 3600, not 'nan'"),
        (("--duration", "a minute"), "seconds from 1 to 3600, not 'a minute'"),
        (("--conversations", "0"), "a whole number from 1 to 1000, not '0'"),
        (("--workers", "many"), "a whole number from 1 to 64, not 'many'"),
        (("--servers", "-1"), "a whole number from 1 to 64, not '-1'"),
        (("--kill", "work,disk"), "some of work,serve,redis, not 'disk'"),
        (("--kill", ""), "some of work,serve,redis, not ''"),
        (("--seed", "0"), "a whole number from 1 to 4294967295, not '0'"),
        (("everything",), "unrecognized arguments: everything"),
    ],
)
def test_bad_arguments_are_told(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["chaos", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
