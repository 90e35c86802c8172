"""Piece boundaries: how the bytes of a reply were cut into deltas, kept in a compact form.

A reply is one string of UTF-8 bytes plus one such record, for instance ``5 3 r12 4``: two pieces of text of 5
and 3 bytes, a piece of reasoning of 12 bytes, a piece of text of 4. With it any protocol can replay the exact
sequence of deltas, from any number, for as long as the conversation lives, at 2-3 bytes a delta.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Literal

from msgspec import Struct

# What is on the channel `tool` is read by core.calls.
Channel = Literal["text", "reasoning", "tool"]

LETTERS: dict[Channel, str] = {"text": "", "reasoning": "r", "tool": "t"}
CHANNELS: dict[str, Channel] = {letter: channel for channel, letter in LETTERS.items()}


class Piece(Struct, frozen=True):
    """A piece of a reply: on which channel, and its text."""

    text: str
    channel: Channel = "text"


def boundaries(pieces: str) -> Iterator[tuple[str, int]]:
    """The letter and the size in bytes of each piece of a record.

    Raises:
        ValueError: the record is malformed.
    """
    for word in pieces.split():
        letter = "" if word[0].isdigit() else word[0]
        size = word[len(letter) :]
        if letter not in CHANNELS or not (size.isascii() and size.isdigit()):
            raise ValueError(f"malformed piece boundary {word!r}")
        yield letter, int(size)


def cut(body: str, pieces: str) -> Iterator[Piece]:
    """Cut a reply's body back into the pieces it arrived in.

    Raises:
        ValueError: the record does not fit the body.
    """
    data = body.encode()
    at = 0
    for letter, size in boundaries(pieces):
        yield Piece(data[at : at + size].decode(), CHANNELS[letter])
        at += size
    if at != len(data):
        raise ValueError(f"pieces cover {at} of {len(data)} bytes")


def spans(body: str, pieces: str) -> Iterator[Piece]:
    """Cut a reply's body where the channel changes, and nowhere else. Of a body of text alone the record is not read.

    Raises:
        ValueError: the record does not fit the body.
    """
    if body and not any(letter in pieces for letter in LETTERS.values() if letter):
        yield Piece(body)
        return
    for channel, neighbours in groupby(cut(body, pieces), attrgetter("channel")):
        yield Piece("".join(piece.text for piece in neighbours), channel)


def record(pieces: Iterable[Piece]) -> str:
    """Write down the boundaries of pieces: the inverse of `cut`."""
    return " ".join(f"{LETTERS[piece.channel]}{len(piece.text.encode())}" for piece in pieces)


def channel_text(body: str, pieces: str, channel: Channel = "text") -> str:
    """The whole text of one channel of a reply."""
    return "".join(piece.text for piece in spans(body, pieces) if piece.channel == channel)
