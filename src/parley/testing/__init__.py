"""Doubles and fixtures for tests of your own: a private server, and a scripted model behind it."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parley.testing.server import Server
    from parley.testing.upstream import ScriptedUpstream

_HOME = {"Server": "parley.testing.server", "ScriptedUpstream": "parley.testing.upstream"}

__all__ = ["ScriptedUpstream", "Server"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)
