"""Settings on their way from the supervisor to its children: in an unnamed file, never on a command line or disk.

Every child of a supervisor sees exactly what the supervisor saw, also one that is started a week later.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from parley.cli.settings import Settings
from parley.models.secret import Secret

VARIABLE = "PARLEY_SETTINGS_FD"


def write(settings: Settings) -> int:
    """Put settings into a descriptor that children may inherit; `VARIABLE` must tell them its number."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("parley-settings", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    data = msgspec.json.encode(settings, enc_hook=_encode)
    with os.fdopen(os.dup(handle), "wb") as output:
        output.write(data)
    return handle


def read(variables: Mapping[str, str]) -> Settings | None:
    """The settings a supervisor handed over; None in a process that has none."""
    number = variables.get(VARIABLE, "")
    if not number.isdigit():
        return None
    size = os.fstat(int(number)).st_size
    # Read by position: the file's offset is shared with all the others.
    return msgspec.json.decode(os.pread(int(number), size, 0), type=Settings, dec_hook=_decode)


def _encode(value: Any) -> str:
    return value.reveal() if isinstance(value, Secret) else os.fspath(value)


def _decode(kind: type, value: Any) -> Any:
    return Secret(value) if kind is Secret else Path(value)
