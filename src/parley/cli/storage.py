"""Where the store of these settings is: a server that was named, or the embedded one of the data directory."""

from pathlib import Path

from parley.cli.settings import Settings
from parley.cli.sources import SettingsError
from parley.store import address
from parley.store.embedded import EmbeddedRedis, live_url


def store_url(settings: Settings) -> str:
    """The server's URL.

    Raises:
        SettingsError: none is named and none runs here.
    """
    if settings.redis:
        return address.normalise(settings.redis.reveal())
    if (url := live_url(settings.data)) is not None:
        return url
    advice = "start `parley up` there, or name a server with --redis URL"
    raise SettingsError(f"no Redis runs on the data directory {settings.data}: {advice}")


def aof_directory(settings: Settings) -> Path | None:
    """Where the server's append-only file is, if it is the embedded one: what `FileBarrier` needs."""
    embedded = EmbeddedRedis(settings.data)
    return embedded.aof_directory if store_url(settings) == embedded.url else None
