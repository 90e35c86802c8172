"""A Parley of our own, as its users run it: `parley up` in a directory that is gone afterwards; and the upstream."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from msgspec import Struct

from parley.bench.http import Connection, Failed, Origin
from parley.bench.processes import family
from parley.store.lifeline import die_with_parent

# What would configure a Parley that should run on its defaults.
FOREIGN = ("PARLEY_", "REDIS_", "OLLAMA_", "OPENAI_", "MODEL_URL", "HUGGIN", "HF_TOKEN", "APP_ENV", "AUTH")

START = 60.0
STOP = 20.0
POLL = 0.01


class Running(Struct, frozen=True):
    """A server that runs: its URL, the process that leads the others (0: not on this machine, or not known).

    `data` is where an installation of ours keeps its data, `log` what it prints.
    """

    url: str
    pid: int
    ready_s: float = 0.0
    data: Path | None = None
    log: Path | None = None

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return family(self.pid) if self.pid else []

    def said(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace").strip() if self.log else ""


@contextlib.asynccontextmanager
async def upstream(
    module: str = "parley.bench.upstream", *arguments: str, quiet: bool = False
) -> AsyncIterator[Running]:
    """A deterministic upstream in a process of its own; its URL has ``/v1``. Raises `Failed`.

    Args:
        quiet: what it complains of is not shown: readers that go away, where they are meant to.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        env=clean(),
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START):
            line = (await process.stdout.readline()).decode()
        if not line.startswith("ready "):
            raise Failed("the upstream did not start")
        yield Running(line.split()[1], process.pid)
    finally:
        await _stop(process)


@contextlib.asynccontextmanager
async def installation(
    *arguments: str, model_url: str = "", model: str = "bench", variables: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """`parley up` with further arguments, ready to serve, talking to a model by OpenAI's protocol. Raises `Failed`.

    Without `model_url` the arguments say where the model is. A terminal's Ctrl-C does not reach it.
    """
    with tempfile.TemporaryDirectory(prefix="parley-bench-", ignore_cleanup_errors=True) as name:
        port, log = free_port(), Path(name) / "log"
        command = [sys.executable, "-P", "-m", "parley", "up", "--port", str(port), "--data", f"{name}/data"]
        if model_url:
            command += ["--model-url", model_url, *(("--model", model) if model else ())]
        began = time.monotonic()
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                *arguments,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=name,
                env=clean() | dict(variables or {}),
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        try:
            url = f"http://127.0.0.1:{port}"
            # Its last line comes when all its parts were started.
            while b"ready in " not in log.read_bytes() or not await _ready(url):
                if process.returncode is not None or time.monotonic() - began > START:
                    raise Failed(f"parley up did not start: {log.read_text(errors='replace').strip()[-500:]}")
                await asyncio.sleep(POLL)
            yield Running(url, process.pid, time.monotonic() - began, Path(name) / "data", log)
        finally:
            await _stop(process)


def clean() -> dict[str, str]:
    """This environment without what configures a Parley."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _ready(url: str) -> bool:
    with contextlib.suppress(Failed):
        http = await Connection.open(Origin(url))
        try:
            await http.stream("GET", "/readyz", None, None)
            return True
        finally:
            http.close()
    return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End a process in order, and its descendants with it."""
    if process.returncode is not None:
        return
    pids = family(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP):
            await process.wait()
    except TimeoutError:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()
