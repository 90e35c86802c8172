"""Clients of a Parley server: the Python client and the terminal.

`AsyncClient` is imported from here or from `parley`; nothing else is loaded until it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parley.client.client import AsyncClient

__all__ = ["AsyncClient"]


def __getattr__(name: str) -> Any:
    if name == "AsyncClient":
        from parley.client.client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
