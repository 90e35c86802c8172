"""The window: which part of a conversation a model is shown. A turn costs the same however long the history is.

Only whole exchanges are shown, the newest ones; the exchange being answered always is, whatever its size.
"""

import math
from collections.abc import Iterator, Sequence

from msgspec import Struct

from parley.core.message import Message

# What a model's template adds to each message, about.
MESSAGE_TOKENS = 4
# Bytes a token: about right for English; other scripts and small vocabularies take more tokens for their bytes.
TOKEN_BYTES = 4
OTHER_TOKEN_BYTES = 2
# An image of about 1000 by 750 pixels, in the models that say how they count.
IMAGE_TOKENS = 1_000


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """How much a model is shown: at most `last` messages and about `tokens` tokens; 0: no such limit.

    The default leaves room for an answer in a context of 4,096 tokens, which is what small models have.
    """

    last: int = 0
    tokens: int = 3_000


class Exchange(Struct, frozen=True):
    """What was said in one turn: its input and, once there is one, the answer."""

    messages: tuple[Message, ...]


def select(exchanges: Sequence[Exchange], window: Window) -> tuple[Message, ...]:
    """The messages in the window, oldest first.

    Args:
        exchanges: oldest first; the last one is being answered now.
    """
    chosen = list(_newest(exchanges, window))
    return tuple(message for exchange in reversed(chosen) for message in exchange.messages)


def estimate(message: Message) -> int:
    """About how many tokens a message is."""
    text = message.content + "".join(call.name + call.arguments for call in message.calls)
    plain = len(text.encode("ascii", "ignore"))
    other = len(text.encode()) - plain
    images = IMAGE_TOKENS * len(message.images)
    return MESSAGE_TOKENS + images + math.ceil(plain / TOKEN_BYTES + other / OTHER_TOKEN_BYTES)


def reach(window: Window) -> tuple[int, int]:
    """How many turns, and bytes of text, before the one being answered can at most be of use; 0: no limit."""
    turns = [limit for limit in (window.last, window.tokens // MESSAGE_TOKENS) if limit]
    return (min(turns) if turns else 0), window.tokens * TOKEN_BYTES


def _newest(exchanges: Sequence[Exchange], window: Window) -> Iterator[Exchange]:
    messages = tokens = 0
    for number, exchange in enumerate(reversed(exchanges)):
        messages += len(exchange.messages)
        tokens += sum(map(estimate, exchange.messages))
        over = (window.last and messages > window.last) or (window.tokens and tokens > window.tokens)
        if number and over:
            return
        yield exchange
