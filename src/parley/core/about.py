"""What a conversation says of itself: title, and how it is to be answered."""

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from parley.core.message import Parameters

TITLE_CHARS = 60

# How long it is to be kept: as long as any, briefly and on no list, or until it is let go.
Retention = Literal["", "temporary", "pinned"]


class About(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A conversation's description. Only its workers read `instructions` and `parameters`."""

    title: str = ""
    assistant: str = ""
    model: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retention: Retention = ""
    instructions: str = ""
    parameters: Parameters = field(default_factory=Parameters)

    def public(self) -> dict[str, Any]:
        """The part that everyone who may read the conversation may read."""
        return {
            "title": self.title,
            "assistant": self.assistant,
            "model": self.model,
            "metadata": self.metadata,
            "retention": self.retention,
        }

    def changed(self, **fields: Any) -> "About":
        """The same with some fields replaced."""
        return msgspec.structs.replace(self, **fields)


def title_of(text: str) -> str:
    """A title from what somebody said first: its first line, cut at a word."""
    line = " ".join(text.strip().split("\n", 1)[0].split())
    if len(line) <= TITLE_CHARS:
        return line
    cut = line[: TITLE_CHARS - 1]
    head, _, _ = cut.rpartition(" ")
    return (head if len(head) > TITLE_CHARS // 2 else cut).rstrip() + "…"
