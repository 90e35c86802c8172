"""`parley version`."""

import argparse
from importlib.metadata import version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the version."""
    print(f"parley {version('parley')}")
    return 0
