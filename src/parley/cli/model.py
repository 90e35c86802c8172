"""`parley model get`: fetch the built-in model's weights, once, and check them."""

import argparse
from pathlib import Path

from parley.cli.arguments import add_settings, settings_of
from parley.cli.settings import Settings
from parley.core.errors import Unavailable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and where."""
    parser.add_argument("action", choices=["get"], help="get: fetch and check the built-in model (98 MB)")
    add_settings(parser, "data", "config")


def run(args: argparse.Namespace) -> int:
    """Fetch, check, say where."""
    print(weights_of(settings_of(args)))
    return 0


def weights_of(settings: Settings) -> Path:
    """The checked weights in the data directory, fetched if they are not there.

    Raises:
        Unavailable: they cannot be had.
    """
    from parley.models import weights

    try:
        return weights.fetch(directory(settings))
    except weights.WeightsError as error:
        raise Unavailable("model_unavailable", str(error)) from None


def directory(settings: Settings) -> Path:
    """Where the weights are kept."""
    return settings.data / "models"
