"""A cursor: a position in a conversation's log, opaque to clients.

``<seq>-<nonce>``: seq counts entries from 1, nonce is the writer's clock in microseconds, so a sequence
number issued again after a database was rolled back is another cursor. Each entry names the cursor before it;
one comparison finds gaps, trimming, re-creation and rollback alike.
"""

import re

START = "0-0"
FORM = re.compile(r"(0|[1-9][0-9]{0,14})-(0|[1-9][0-9]{0,17})")


def is_cursor(text: str) -> bool:
    """Whether the text has the form of a cursor (it may still be unknown: then a snapshot answers)."""
    return FORM.fullmatch(text) is not None


def sequence(cursor: str) -> int:
    """The entry's number: 1 for the first entry of a log, 0 for its start."""
    return int(cursor.partition("-")[0])


def milliseconds(cursor: str) -> int:
    """When the entry was written, by the log's clock: unix milliseconds."""
    return int(cursor.partition("-")[2]) // 1000
