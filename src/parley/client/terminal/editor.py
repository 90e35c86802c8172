"""A message written in the person's own editor."""

import asyncio
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from parley.client.errors import Error

FOUND = ("editor", "nano", "vi")


def editor(environment: Mapping[str, str]) -> list[str]:
    """The command line of the editor: $VISUAL, $EDITOR, else one that is there.

    Raises:
        Error: there is none.
    """
    if chosen := environment.get("VISUAL") or environment.get("EDITOR"):
        return shlex.split(chosen)
    for name in FOUND:
        if shutil.which(name):
            return [name]
    raise Error("There is no editor: name one in $EDITOR.")


async def edit(text: str) -> str:
    """Let the person edit a text; what there is when the editor has ended.

    Raises:
        Error: there is no editor, or it failed.
    """
    command = editor(os.environ)
    with tempfile.TemporaryDirectory(prefix="parley-") as directory:
        file = Path(directory) / "message.md"
        file.write_text(text, encoding="utf-8")
        try:
            process = await asyncio.create_subprocess_exec(*command, str(file))
        except OSError as error:
            raise Error(f"{command[0]} cannot be started: {error.strerror}. Name an editor in $EDITOR.") from None
        if await process.wait():
            raise Error(f"{command[0]} ended with status {process.returncode}; the message is as it was.")
        return file.read_text(encoding="utf-8", errors="replace").rstrip("\n")
