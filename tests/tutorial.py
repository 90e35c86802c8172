"""Plays a tutorial: runs the code of a Markdown page from top to bottom, in one shell and one directory.

```sh       run in the shell; what it exports, and what it starts with &, stays for the blocks behind it
```python   run by a Python of its own, in that shell; but if its first line is ``# name.py`` it is saved as that
```text     what the block before it prints, all of it; … stands for anything
"""

import os
import re
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.system.deployment import children

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAVED = re.compile(r"# ([\w/.-]+\.py)\n")


class Shell:
    """A bash that stays between commands. The first command that fails ends it."""

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            cwd=directory, env=dict(env), start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, commands: str, seconds: float = 60.0) -> str:
        """Run commands; replies what they print."""
        assert self._process.stdin is not None
        mark = f"done {secrets.token_hex(8)}"
        self._process.stdin.write(f"{commands}\necho '{mark}'\n".encode())
        self._process.stdin.flush()
        return self._until(mark, commands, time.monotonic() + seconds)

    def close(self) -> None:
        """End it, and whatever was started in it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        family = [self._process.pid, *children(self._process.pid)]
        self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 10
            for pid in family:
                _signal(pid, number)
            while any(_lives(pid) for pid in family[1:]) and time.monotonic() < deadline:
                time.sleep(0.02)
        self._process.wait(10)
        self._process.stdout.close()

    def _until(self, mark: str, commands: str, deadline: float) -> str:
        assert self._process.stdout is not None
        printed = b""
        while not printed.endswith(f"{mark}\n".encode()):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"still running:\n{commands}\n{printed.decode(errors='replace')}"
            data = os.read(self._process.stdout.fileno(), 65536)
            assert data, f"failed:\n{commands}\n{printed.decode(errors='replace')}"
            printed += data
        return printed.decode().removesuffix(f"{mark}\n")


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The tag and the text of each fenced block."""
    for match in BLOCK.finditer(page):
        yield match[1], match[2]


def play(page: str, directory: Path, env: Mapping[str, str], replace: Mapping[str, str] | None = None) -> list[str]:
    """Run a whole tutorial; what each block printed.

    Args:
        replace: what stands in the page -> what it is here (ports, for instance).
    """
    for old, new in (replace or {}).items():
        assert old in page, f"the page does not say {old!r}"
        page = page.replace(old, new)
    path = f"{Path(sys.executable).parent}:{env['PATH']}"
    shell = Shell(directory, {**env, "PATH": path, "PYTHONWARNINGS": "error"})
    printed: list[str] = []
    try:
        for number, (tag, text) in enumerate(blocks(page)):
            if tag == "text":
                assert matches(text, printed[-1]), f"expected:\n{text}\nprinted:\n{printed[-1]}"
            elif tag == "sh":
                printed.append(shell.run(text))
            elif tag == "python" and (saved := SAVED.match(text)):
                (directory / saved[1]).write_text(text)
            elif tag == "python":
                (directory / f".block_{number}.py").write_text(text)
                printed.append(shell.run(f"python .block_{number}.py"))
            else:
                raise AssertionError(f"a block of {tag} is not run by anything")
    finally:
        shell.close()
    return printed


def matches(expected: str, printed: str) -> bool:
    """Whether this is what was expected, where … stands for anything."""
    pattern = ".*?".join(map(re.escape, expected.strip().split("…")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        return


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
