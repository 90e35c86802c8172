"""Function calls on the channel `tool` of a reply: lines of JSON, so that pieces may be joined and cut anywhere.

An object ``{"name": ...}`` begins a call, each string behind it is the next part of its arguments.
"""

import msgspec
from msgspec import Struct


class Begun(Struct, frozen=True):
    """A call begins."""

    name: str


_line: msgspec.json.Decoder[Begun | str] = msgspec.json.Decoder(Begun | str)
_encode = msgspec.json.Encoder().encode


def begin(name: str) -> str:
    """The line that begins a call."""
    return _encode(Begun(name)).decode() + "\n"


def argue(part: str) -> str:
    """The line that goes on with the arguments of the call begun last."""
    return _encode(part).decode() + "\n"


class Calls:
    """Reads the channel, piece by piece."""

    def __init__(self) -> None:
        self._rest = ""

    def take(self, text: str) -> list[Begun | str]:
        """The lines that are whole with this text.

        Raises:
            msgspec.DecodeError: the channel holds something else.
        """
        *lines, self._rest = (self._rest + text).split("\n")
        return [_line.decode(line) for line in lines]
