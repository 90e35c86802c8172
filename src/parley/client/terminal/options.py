"""What `parley chat` was asked for, and its exit statuses."""

from enum import IntEnum

from msgspec import Struct


class Exit(IntEnum):
    """Exit statuses that scripts may rely on."""

    OK = 0
    FAILED = 1  # the reply failed, or the message was refused
    USAGE = 2
    NO_SERVER = 3
    INTERRUPTED = 130


class Options(Struct, frozen=True, kw_only=True):
    """What `parley chat` was asked for.

    `question` None: a REPL, or with `watch` and nobody at the terminal the newest reply to its end; with `json` its
    events from the cursor `after` on, until it is quiet. `conversation` is an id, the beginning of one, or "" for a
    new one; `again` goes on with the last one. `system` are the conversation's instructions.
    """

    question: str | None = None
    watch: bool = False
    after: str | None = None
    conversation: str = ""
    again: bool = False
    model: str = ""
    system: str = ""
    url: str | None = None
    token: str | None = None
    plain: bool = False
    json: bool = False
    quiet: bool = False
