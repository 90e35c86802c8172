"""`parley password`: asks for a password and prints its hash, for the table of users in the settings file."""

import argparse
import getpass
import sys

from parley.cli.sources import SettingsError
from parley.server.passwords import hash_password


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: a password on a command line is everybody's."""


def run(args: argparse.Namespace) -> int:
    """Print the hash of a password that is typed twice, or read from a pipe."""
    print(hash_password(_typed() if sys.stdin.isatty() else _piped()))
    return 0


def _typed() -> str:
    try:
        password = getpass.getpass("Password: ")
        if not password:
            raise SettingsError("the password is empty")
        if getpass.getpass("Again: ") != password:
            raise SettingsError("these were two passwords")
    except EOFError:
        raise SettingsError("no password was typed") from None
    return password


def _piped() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise SettingsError("there is no password on the standard input")
    return password
