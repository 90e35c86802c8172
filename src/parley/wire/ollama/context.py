"""`context` of /api/generate: what was said so far, as numbers that a client hands back without reading them.

In Ollama they are the tokens of a prompt. Here they are the messages, compressed, six bytes a number: a number of that
size is exact in every client.
"""

import zlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from parley.core.errors import InvalidRequest
from parley.core.message import Message
from parley.wire.strict_json import check_text

# Tells our numbers from tokens of Ollama, which are far smaller.
SIGN = 0x7061726C6579
WORD = 6
MOST_BYTES = 4 * 1024 * 1024


class _Said(Struct, frozen=True, array_like=True):
    role: str
    content: str


_decoder = msgspec.json.Decoder(list[_Said])


def pack(messages: Sequence[Message]) -> list[int]:
    """Messages of users and assistants, as numbers."""
    said = [_Said(message.role, message.content) for message in messages]
    data = zlib.compress(msgspec.json.encode(said))
    words = (data[at : at + WORD].ljust(WORD, b"\0") for at in range(0, len(data), WORD))
    return [SIGN, *(int.from_bytes(word, "big") for word in words)]


def unpack(numbers: Sequence[int]) -> list[Message]:
    """The messages that numbers stand for.

    Raises:
        InvalidRequest: they are not this server's.
    """
    if not numbers:
        return []
    try:
        if numbers[0] != SIGN:
            raise ValueError("not ours")
        data = b"".join(number.to_bytes(WORD, "big") for number in numbers[1:])
        reader = zlib.decompressobj()
        text = reader.decompress(data, MOST_BYTES)
        if not reader.eof:
            raise ValueError("not whole, or too long")
        said = _decoder.decode(text)
    except (ValueError, OverflowError, zlib.error, msgspec.DecodeError):
        message = "`context` was not made by this server; send what was said before to /api/chat."
        raise InvalidRequest("invalid_value", message, param="context") from None
    return [_message(each) for each in said]


def _message(said: _Said) -> Message:
    check_text(said.content, "context")
    if said.role not in ("user", "assistant"):
        raise InvalidRequest("invalid_value", "`context` may hold users and assistants only.", param="context")
    return Message("user" if said.role == "user" else "assistant", said.content)
