"""`parley.seeds.chat` for ``import chat``."""

from parley.seeds.chat import ROLE, Chat, stream

__all__ = ["ROLE", "Chat", "stream"]
