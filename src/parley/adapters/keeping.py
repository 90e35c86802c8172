"""What the adapters share: how a session's name becomes a conversation, and how its items are written."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from parley.client.address import Address
from parley.core.ids import is_conversation_id

T = TypeVar("T")

# The items of one request, at most: OpenAI's limit, and ours.
MOST = 20
# How often openai's client tries again. Every write has a key, so it may: nothing is written twice.
RETRIES = 5
PAGE = 100


def options(url: str | None, token: str | None) -> dict[str, Any]:
    """What openai's client is made with to speak to a Parley server.

    Args:
        url, token: as for `parley.AsyncClient`.

    Raises:
        InvalidRequest: the URL or the token cannot be one.
    """
    address = Address(url, token)
    return {
        "base_url": f"{address.url}/v1",
        "api_key": "any",  # the client insists on one; the header below counts
        "default_headers": address.headers,
        "max_retries": RETRIES,
    }


def named(session_id: str) -> str | None:
    """The conversation that a session id names by itself; None when the server is to be asked."""
    return session_id if is_conversation_id(session_id) else None


def opening(session_id: str) -> dict[str, str]:
    """The header that makes the create of a conversation the same conversation each time."""
    return key(hashlib.sha256(f"session {session_id}".encode()).hexdigest())


def writing() -> dict[str, str]:
    """The header that makes a write safe to send again."""
    return key(secrets.token_hex(16))


def key(value: str) -> dict[str, str]:
    """The header of an idempotency key."""
    return {"Idempotency-Key": value}


def batches(items: Sequence[T]) -> Iterator[list[T]]:
    """Items, as many at a time as one request may have."""
    for at in range(0, len(items), MOST):
        yield list(items[at : at + MOST])


def text_of(item: dict[str, Any]) -> str:
    """What a message says, without what it shows."""
    return "".join(part.get("text", "") for part in item["content"])
