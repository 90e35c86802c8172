"""Lengths of time as people write them."""

import re
from datetime import timedelta

from parley.client.errors import InvalidRequest

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
FORM = re.compile(r"(\d{1,9})([smhdw]?)")


def seconds(length: str | int | timedelta) -> int:
    """A length of time in seconds: a number of them, a `timedelta`, or text such as ``90s``, ``30m``, ``12h``, ``7d``.

    Raises:
        InvalidRequest: it is none of these, or not above zero.
    """
    if isinstance(length, timedelta):
        length = int(length.total_seconds())
    match = FORM.fullmatch(str(length).strip())
    found = int(match[1]) * SECONDS[match[2]] if match else 0
    if found <= 0:
        raise InvalidRequest(f"{length!r} is no length of time: write it like 90s, 30m, 12h or 7d.", param="expire")
    return found
