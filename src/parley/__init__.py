"""Parley: a durable, stateful, streaming conversation server."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parley.client.client import AsyncClient

__version__ = "0.1.0"

__all__ = ["AsyncClient", "__version__"]


def __getattr__(name: str) -> Any:
    # Programs that only want the version, and every verb of the command line, do not pay for the client.
    if name == "AsyncClient":
        from parley.client.client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
