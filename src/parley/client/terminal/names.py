"""What people call conversations: the beginning of an id, without ``conv_``."""

from collections.abc import AsyncIterator

from parley.client.client import PREFIX, AsyncClient
from parley.client.errors import NotFound
from parley.client.values import Conversation
from parley.core import ids

SHOWN = 8  # characters of an id that are enough for a person
PAGE = 200
# What is older than so many conversations is found by its whole id.
MOST = 10_000


def short(conversation: str) -> str:
    """The part of an id that people are shown, and may write."""
    return conversation.removeprefix(PREFIX)[:SHOWN]


async def everything(client: AsyncClient) -> AsyncIterator[Conversation]:
    """All of somebody's conversations, the one last spoken in first."""
    for offset in range(0, MOST, PAGE):
        found = await client.conversations(limit=PAGE, offset=offset)
        for each in found:
            yield each
        if len(found) < PAGE:
            return


async def resolve(client: AsyncClient, name: str) -> str:
    """The id of the conversation that a person means.

    Args:
        name: its id, or the beginning of it with or without ``conv_``.

    Raises:
        NotFound: there is none, or more than one.
    """
    if ids.is_conversation_id(name):
        return name
    begins = PREFIX + name.removeprefix(PREFIX)
    found = [each.id async for each in everything(client) if each.id.startswith(begins)]
    if len(found) != 1 or begins == PREFIX:
        reason = "is no conversation of yours" if not found else "fits more than one conversation"
        raise NotFound(f"{name!r} {reason}; `parley ls` lists them.")
    return found[0]
