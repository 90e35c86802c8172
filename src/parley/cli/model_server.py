"""`parley model-server`: the built-in model, or any GGUF file, behind an OpenAI-compatible door."""

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from parley.cli import handoff
from parley.cli.arguments import add_settings, settings_of
from parley.cli.model import directory, weights_of
from parley.cli.settings import Settings
from parley.cli.sources import SettingsError
from parley.core.errors import Unavailable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which file, on which port. The host is always this machine."""
    parser.add_argument("--file", metavar="GGUF", help="a model file (the built-in model)")
    add_settings(parser, "port", "data", "config")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; its process does nothing else."""
    settings = settings_of(args)
    port = int(args.port) if args.port and args.port.isdigit() else settings.port
    # Heavy, and of no use to anybody who only asked for --help.
    from parley.models import weights
    from parley.models.local_server import LocalServerError, serve

    try:
        path = Path(args.file) if args.file else weights.find(directory(settings)) or weights_of(settings)
    except Unavailable as error:
        # Starting again would not help, and without a model nothing can be answered: that ends `parley up` as well.
        raise SettingsError(f"{error}. Another model is named with --model-url URL") from None
    # Below a supervisor nobody reads the line that says where it is.
    output = io.StringIO() if handoff.VARIABLE in os.environ else sys.stdout
    try:
        with contextlib.redirect_stdout(output):
            serve(path, port=port, api_key=_key(settings, port))
    except LocalServerError as error:
        raise SettingsError(str(error)) from None
    return 0


def _key(settings: Settings, port: int) -> str:
    """The key that the supervisor gave the workers for this door, else the operator's."""
    for model in settings.models:
        if urlsplit(model.url).port == port and model.api_key:
            return model.api_key.reveal()
    return settings.model_key.reveal()
