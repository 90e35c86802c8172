"""The operator's theme: read once, by whoever starts the servers."""

import logging
from pathlib import Path

import msgspec

from parley.cli.settings import Settings
from parley.cli.sources import SettingsError
from parley.server.theme import MOST_BYTES, read

log = logging.getLogger(__name__)


def with_theme(settings: Settings) -> Settings:
    """The settings with what is in the file `theme`; a warning for each thing in it that will not work.

    Raises:
        SettingsError: it cannot be read, or used.
    """
    if not settings.theme or settings.looks is not None:
        return settings
    try:
        with Path(settings.theme).expanduser().open("rb") as file:
            theme = read(file.read(MOST_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        where = f"theme (from {settings.source('theme')})"
        raise SettingsError(f"{where} cannot be used: {settings.theme}: {reason}") from None
    for note in theme.notes:
        log.warning("%s: %s", settings.theme, note)
    return msgspec.structs.replace(settings, looks=theme)
