"""What the terminal remembers between two calls: the last conversation at each server, and what was typed."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where the user's state belongs on this platform."""
    if base := environment.get("XDG_STATE_HOME"):
        return Path(base) / "parley"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "parley"
    return Path.home() / ".local" / "state" / "parley"


class Memory:
    """The last conversation at each server. What cannot be written is not remembered; nothing fails over it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "last.json"
        self.typed = directory / "typed"

    def last(self, url: str) -> str | None:
        """The conversation last spoken in at a server."""
        return self._read().get(url)

    def remember(self, url: str, conversation: str) -> None:
        """Keep the conversation last spoken in."""
        known = self._read()
        if known.get(url) == conversation:
            return
        known[url] = conversation
        scratch = self._file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self.prepare()
            scratch.write_bytes(msgspec.json.encode(known))
            scratch.replace(self._file)

    def prepare(self) -> None:
        """Make the directory, for its owner's eyes only.

        Raises:
            OSError: it cannot be made.
        """
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _read(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            return {}
