"""Flags that set settings, and the settings a verb runs with."""

import argparse
import os
from pathlib import Path

from parley.cli import handoff
from parley.cli.settings import Settings, load

# flag -> its placeholder and help; the setting has the same name, with _ for -.
FLAGS = {
    "host": ("HOST", "address to bind (127.0.0.1)"),
    "port": ("N", "port of page and API (8000)"),
    "redis": ("URL", "a Redis or Valkey server (one of our own)"),
    "prefix": ("P", "what every key in Redis begins with (parley:)"),
    "data": ("DIR", "where conversations and the built-in model are kept"),
    "model-url": ("URL", "an OpenAI-compatible server (searched for)"),
    "model": ("NAME", "which of its models (the first), or a function of yours: module:function"),
    "embed-origin": ("URL,URL", "whose pages may embed ours, like https://shop.example (none)"),
    "theme": ("FILE", "a CSS file with your colours, name and logo (Parley's)"),
    "serves": ("N", "web server processes (1)"),
    "workers": ("N", "worker processes (1)"),
    "config": ("FILE", "settings file (parley.toml, if there is one)"),
}


def add_settings(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the flags of these settings, or of all, to a verb. Their values are checked with all other settings."""
    for name in names or FLAGS:
        placeholder, text = FLAGS[name]
        parser.add_argument(f"--{name}", metavar=placeholder, help=text)


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings a supervisor handed over, else those of flags, environment and file.

    Raises:
        SettingsError: something cannot be used.
    """
    handed = handoff.read(os.environ)
    if handed is not None:
        return handed
    flags = {name: value for name, value in vars(args).items() if name.replace("_", "-") in FLAGS}
    return load(flags, os.environ, Path.cwd())
