"""Writes docs/reference/settings.md from the settings' types, their defaults and the comments beside them.

python tools/settings_page.py
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parley.cli.settings import FOUND, GROUPS, SECRETS, TABLES, Settings
from parley.models.secret import Secret

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

HEAD = """# Settings

Later wins: defaults, `parley.toml` (or `--config FILE`), the environment (a `.env` file in the working directory
counts, under the real one), flags. A variable is `PARLEY_` and the name in capitals, with `_` for the dot; a secret may
also be given as the name of a file, `PARLEY_ACCESS_KEY_FILE`. What is no setting is an error that names the nearest
one. `parley config` shows each value and where it came from.

This page is made by `tools/settings_page.py`.
"""
FIELD = re.compile(r"    (\w+): .*?  # (.*)")
FLAGS = ("host", "port", "redis", "prefix", "data", "serves", "workers", "model_url", "model", "theme")


def page() -> str:
    """The whole page."""
    parts = [HEAD, "| name | default | |", "|---|---|---|", *rows(Settings, "")]
    for group, kind in GROUPS.items():
        intro = (inspect.getdoc(kind) or "").partition("\n")[0]
        parts += ["", f"## {group}", "", f"{intro} In the file: `[{group}]`.", ""]
        parts += ["| name | default | |", "|---|---|---|", *rows(kind, f"{group}.")]
    return "\n".join(parts) + "\n"


def rows(kind: Any, prefix: str) -> Iterator[str]:
    """A line for each field."""
    said = dict(FIELD.findall(inspect.getsource(kind)))
    required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
    defaults = dict(zip(kind.__struct_fields__[required:], kind.__struct_defaults__, strict=True))
    for name in kind.__struct_fields__:
        if name in (*GROUPS, *FOUND):
            continue
        value = "the user's data directory" if name == "data" else shown(defaults.get(name))
        where = "" if prefix else ", ".join(origins(name))
        text = " ".join(filter(None, (said[name], f"({where})" if where else "")))
        yield f"| `{prefix}{name}` | {value} | {text.replace('|', chr(92) + '|')} |"


def origins(name: str) -> Iterator[str]:
    """Where else than in the file and the environment it can be set, or not."""
    if name in FLAGS:
        yield f"`--{name.replace('_', '-')}`"
    if name in TABLES:
        yield "in the file only"
    if name in SECRETS:
        yield f"`PARLEY_{name.upper()}_FILE`"


def shown(value: Any) -> str:
    """A default as people read it."""
    if (
        isinstance(value, Secret)
        or value in ("", (), {})
        or callable(value)
        or not isinstance(value, str | int | float)
    ):
        return ""
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page())
