"""A part of a deployment: one process to keep alive, and how it is called."""

import sys

from msgspec import Struct

# How every command line of ours begins. -P: the working directory must not shadow our modules.
PARLEY = (sys.executable, "-P", "-m", "parley")
# The fork server's, its socket's number to follow.
FORK_SERVER = (sys.executable, "-P", "-m", "parley.cli.fork_server")


class Part(Struct, frozen=True):
    """One child to keep alive.

    Args:
        name: for people ("worker 1").
        command: its command line.
        descriptors: what it inherits, by the same numbers.
        variables: what its environment has besides ours.
        forked: the fork server forks it, and it inherits what that has.
    """

    name: str
    command: tuple[str, ...]
    descriptors: tuple[int, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    forked: bool = False


def parley(*arguments: str) -> tuple[str, ...]:
    """The command line of one of our own verbs."""
    return (*PARLEY, *arguments)
