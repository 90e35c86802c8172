"""Identifiers: opaque to clients, unguessable, and telling where a conversation lives.

    conv_<shard: 2 hex><random: 32 hex>          a conversation, 128 random bits
    <16 hex>                                     a turn, unique within its conversation
    resp_<shard><random><turn>                   a response; embeds both, so no index is needed to find it

Randomness arrives as an argument; this module only shapes and checks it.
"""

import hashlib
import re

CONVERSATION = re.compile(r"conv_([0-9a-f]{2})([0-9a-f]{32})")
TURN = re.compile(r"[0-9a-f]{16}")
RESPONSE = re.compile(r"resp_([0-9a-f]{34})([0-9a-f]{16})")


def conversation_id(random: bytes, shards: int) -> str:
    """Name a new conversation from 16 random bytes; `shards` (1-256) is how many work queues there are."""
    if len(random) != 16:
        raise ValueError("a conversation id takes 16 random bytes")
    return f"conv_{random[0] % shards:02x}{random.hex()}"


def shard_of(conversation: str) -> str:
    """Tell the shard (two hex digits) that a conversation's keys live in.

    Raises:
        ValueError: the id is malformed; nothing may be looked up with it.
    """
    match = CONVERSATION.fullmatch(conversation)
    if match is None:
        raise ValueError("malformed conversation id")
    return match[1]


def is_conversation_id(text: str) -> bool:
    """Whether the text has the form of a conversation id (says nothing about its existence)."""
    return CONVERSATION.fullmatch(text) is not None


def is_turn_id(text: str) -> bool:
    """Whether the text has the form of a turn id."""
    return TURN.fullmatch(text) is not None


def turn_id(conversation: str, key: str) -> str:
    """Name the turn that an idempotency key stands for.

    The same key in the same conversation is the same turn, also after a lost reply, a takeover or a database
    rolled back; in another conversation it is another turn.
    """
    return hashlib.sha256(f"{conversation}\n{key}".encode()).hexdigest()[:16]


def response_id(conversation: str, turn: str) -> str:
    """Name the response to a turn."""
    return f"resp_{conversation.removeprefix('conv_')}{turn}"


def parse_response_id(response: str) -> tuple[str, str] | None:
    """Tell the conversation and the turn of a response id; None when it is malformed."""
    match = RESPONSE.fullmatch(response)
    return None if match is None else (f"conv_{match[1]}", match[2])
