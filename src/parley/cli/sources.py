"""Where settings come from, raw: flags, environment, `.env`, file. Each value carries the name of its source."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

FILE = "parley.toml"
PREFIX = "PARLEY_"

# What Kubernetes puts into the environment for a service named "parley".
KUBERNETES = re.compile(r"PARLEY_(SERVICE_(HOST|PORT)\w*|PORT_\d+_\w+)")
LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


class SettingsError(ValueError):
    """A setting cannot be used. One line: which, where it was found, what is expected."""


class Value(Struct, frozen=True):
    """A value somebody set, and where."""

    value: Any
    source: str


class Environment:
    """The variables of the process, over those of a `.env` file in the working directory."""

    def __init__(self, variables: Mapping[str, str], directory: Path) -> None:
        self._variables = variables
        self._dotenv = dict(read_dotenv(directory / ".env"))

    def __iter__(self) -> Iterator[str]:
        yield from self._variables.keys() | self._dotenv.keys()

    def get(self, *names: str) -> Value | None:
        """The first of these variables that is set and not empty."""
        for name in names:
            if text := self._variables.get(name):
                return Value(text, name)
            if text := self._dotenv.get(name):
                return Value(text, f"{name} in .env")
        return None

    def text(self, *names: str) -> str:
        """As `get`, but the text alone; empty when none is set."""
        found = self.get(*names)
        return "" if found is None else str(found.value)

    def secret(self, name: str) -> Value | None:
        """A variable, or the content of the file that ``<name>_FILE`` names.

        Raises:
            SettingsError: the file cannot be read.
        """
        if (found := self.get(name)) or (path := self.get(f"{name}_FILE")) is None:
            return found
        try:
            return Value(Path(path.value).read_text().strip(), path.source)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise SettingsError(f"{path.source}: {path.value} cannot be read: {reason}") from None


def read_dotenv(path: Path) -> Iterator[tuple[str, str]]:
    """The assignments in a `.env` file, with or without ``export`` and quotes; other lines are not ours to judge."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            continue
        value = match[2].strip()
        if value[:1] in ("'", '"'):
            value = value[1:].partition(value[0])[0]
        else:
            value = re.sub(r"(^|\s+)#.*", "", value)
        yield match[1], value


def read_file(explicit: str | None, directory: Path) -> tuple[dict[str, Any], str]:
    """The settings file and its name: the one asked for, else `parley.toml` in the working directory, else none.

    Raises:
        SettingsError: it cannot be read, or is not TOML.
    """
    path = Path(explicit) if explicit else directory / FILE
    if not explicit and not path.exists():
        return {}, ""
    try:
        return tomllib.loads(path.read_text()), path.name
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not TOML: {str(error).partition(chr(10))[0]}") from None


def data_directory(variables: Mapping[str, str], platform: str) -> Path:
    """Where this platform keeps a user's data."""
    home = Path(variables.get("HOME") or os.path.expanduser("~"))
    if platform == "darwin":
        return home / "Library" / "Application Support" / "parley"
    base = variables.get("XDG_DATA_HOME", "")
    # The standard says: a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else home / ".local" / "share") / "parley"
