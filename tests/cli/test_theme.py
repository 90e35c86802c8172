"""`--theme`: read once, before anything is served; what is wrong with it is one line that names the file."""

import subprocess
from pathlib import Path

import pytest

from parley.cli import handoff
from parley.cli.settings import load
from parley.cli.sources import SettingsError
from parley.cli.theme import with_theme
from tests.redis_servers import free_port
from tests.system.deployment import PARLEY, environment
from tests.tutorial import blocks

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "theme.md").read_text()
BLOCKS = list(blocks(PAGE))
EXAMPLE = dict(BLOCKS)["css"]


def test_there_is_none_unless_it_is_asked_for(tmp_path: Path) -> None:
    settings = load({}, {}, tmp_path)
    assert with_theme(settings) is settings


@pytest.mark.parametrize("source", ["parley.toml", "PARLEY_THEME", "--theme"])
def test_it_is_named_anywhere_and_handed_over_as_it_was(tmp_path: Path, source: str) -> None:
    file = tmp_path / "theme.css"
    file.write_text(EXAMPLE)
    if source == "parley.toml":
        (tmp_path / source).write_text(f'theme = "{file}"')
    flags = {"theme": str(file)} if source == "--theme" else {}
    settings = load(flags, {"PARLEY_THEME": str(file)} if source == "PARLEY_THEME" else {}, tmp_path)
    assert settings.source("theme") == source
    found = with_theme(settings)
    assert found.looks is not None
    assert found.looks.name == "Harbour"
    file.write_text("half a {")
    handed = handoff.read({handoff.VARIABLE: str(handoff.write(found))})
    assert handed is not None
    assert with_theme(handed).looks == found.looks
    with pytest.raises(SettingsError, match=rf"^theme \(from {source}\) cannot be used: .*theme.css: line 1: {{ is"):
        with_theme(settings)


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_nothing_is_served_with_one_that_cannot_be_used(tmp_path: Path, verb: str) -> None:
    lines = EXAMPLE.splitlines()
    lines[6] = lines[6].removesuffix(";")
    (tmp_path / "theme.css").write_text("\n".join(lines))
    command = [*PARLEY, verb, "--port", str(free_port()), "--redis", "redis://127.0.0.1:1", "--theme", "theme.css"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", dict(BLOCKS)["text"])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name, reason in (("none.css", "No such file or directory"), (".", "Is a directory")):
        with pytest.raises(SettingsError, match=f"{name}: {reason}$"):
            with_theme(load({"theme": str(tmp_path / name)}, {}, tmp_path))


def test_what_will_not_load_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "theme.css").write_text('@import "https://fonts.example/a.css";\n.brand { background: url(a.png) }')
    assert with_theme(load({"theme": str(tmp_path / "theme.css")}, {}, tmp_path)).looks is not None
    told = [record.getMessage().partition(" will not load")[0] for record in caplog.records]
    assert told == [f"{tmp_path}/theme.css: line {line}" for line in ("1: https://fonts.example/a.css", "2: a.png")]


def test_the_command_that_makes_an_address_of_a_picture(tmp_path: Path) -> None:
    picture = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>\n' * 40
    (tmp_path / "logo.svg").write_text(picture)
    [command] = [text for tag, text in BLOCKS if tag == "sh" and "base64" in text]
    made = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
    (tmp_path / "theme.css").write_text(f":root {{ --logo: {made.stdout} }}")
    found = with_theme(load({"theme": str(tmp_path / "theme.css")}, {}, tmp_path)).looks
    assert found is not None
    assert found.picture.decode() == picture
