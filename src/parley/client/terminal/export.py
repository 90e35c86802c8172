"""A conversation as a file: JSON, which can be read in again, or Markdown for people. Pure."""

import msgspec
from msgspec import Struct

from parley.client.errors import InvalidRequest
from parley.client.terminal.clean import json_line
from parley.client.values import Conversation, Turn

FORMAT = "parley/1"


class Document(Struct, frozen=True):
    """A conversation as it is exported. `turns` are oldest first, each with its parent."""

    format: str
    conversation: Conversation
    turns: list[Turn]


def document(conversation: Conversation, turns: list[Turn]) -> str:
    """A conversation as JSON, on lines, ending in one. What has not changed is the same file."""
    lasting = msgspec.structs.replace(conversation, expires_at=0, status="idle")
    data = msgspec.json.encode(Document(FORMAT, lasting, turns))
    return json_line(msgspec.json.format(data, indent=1)) + "\n"


def read(text: bytes) -> Document:
    """What `document` wrote.

    Raises:
        InvalidRequest: it is something else.
    """
    try:
        found = msgspec.json.decode(text, type=Document)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"That is no exported conversation: {error}.") from None
    if found.format != FORMAT:
        raise InvalidRequest(f"That has the format {found.format!r}; this version reads {FORMAT!r}.")
    return found


def markdown(conversation: Conversation, turns: list[Turn]) -> str:
    """A conversation as Markdown: who speaks is a heading."""
    parts = [f"# {conversation.title or 'Conversation'}"]
    for turn in turns:
        parts += ["## You", turn.question.strip()]
        if turn.text.strip() or turn.status == "completed":
            parts += [f"## {turn.model or 'Assistant'}", turn.text.strip()]
        if turn.status != "completed":
            parts.append(f"*({turn.status})*")
    return "\n\n".join(parts) + "\n"
