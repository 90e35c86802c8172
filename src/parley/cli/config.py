"""`parley config`: every setting, its value, and where that came from."""

import argparse
import json
from typing import Any

from parley.cli.arguments import add_settings, settings_of
from parley.cli.settings import SECRETS, TABLES, Settings, names
from parley.models.secret import Secret
from parley.store import address

UNSET = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings, as `up` would take them."""
    parser.add_argument("--json", action="store_true", help="an object")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; secrets are not shown."""
    settings = settings_of(args)
    found = {name: (shown(settings, name), settings.source(name)) for name in (*names(), *TABLES)}
    if args.json:
        print(
            json.dumps({name: {"value": value, "source": source} for name, (value, source) in found.items()}, indent=1)
        )
        return 0
    width = max(map(len, found))
    for name, (value, source) in found.items():
        text = value if isinstance(value, str) else json.dumps(value)
        print(f"{name:{width}}  {text or UNSET:30}" + (f"  {source}" if source != "default" else ""))
    return 0


def shown(settings: Settings, name: str) -> Any:
    """A value as people may see it."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    if name == "redis" and value:
        return address.redacted(address.normalise(value.reveal()))
    if name in SECRETS or isinstance(value, Secret):
        return "(set)" if value else ""
    if name in TABLES:
        return ", ".join(value) if isinstance(value, dict) else ", ".join(each.name for each in value)
    return list(value) if isinstance(value, tuple) else value if isinstance(value, int | float) else str(value)
