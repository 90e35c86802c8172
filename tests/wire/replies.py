"""Replies as hypothesis draws them: pieces of text, thoughts and calls, and how they end."""

import json

from hypothesis import strategies as st

from parley.core import ids
from parley.core.calls import argue, begin
from parley.core.message import Message
from parley.core.pieces import Piece, record
from parley.core.turn import Outcome, Private, Request, Turn, TurnError, Usage
from parley.wire.openai.response import Subject

CONVERSATION = ids.conversation_id(bytes(range(16)), 4)
TURN = "0123456789abcdef"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
objects = st.dictionaries(texts, texts | st.integers() | st.lists(st.booleans(), max_size=2), max_size=2).map(
    json.dumps
)
arguments = st.lists(texts, max_size=3) | objects.map(lambda text: [text[:3], text[3:]])
calls = st.builds(
    lambda name, parts: [Piece(begin(name), "tool"), *(Piece(argue(part), "tool") for part in parts)],
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
    arguments,
)
plain = st.builds(lambda text, channel: [Piece(text, channel)], texts, st.sampled_from(["text", "reasoning"]))
replies = st.lists(plain | calls, max_size=8).map(lambda runs: [piece for run in runs for piece in run])
endings = st.sampled_from(
    [
        Outcome("completed", usage=Usage(3, 5), finish_reason="stop"),
        Outcome("completed"),
        Outcome("incomplete", finish_reason="length"),
        Outcome("incomplete", finish_reason="content_filter"),
        Outcome("failed", error=TurnError("upstream_cut", "The model broke off.")),
        Outcome("cancelled"),
    ]
)


def subject(reply: list[Piece], ending: Outcome) -> Subject:
    """A response that has ended so."""
    outcome = Outcome(
        ending.status,
        "".join(piece.text for piece in reply),
        record(reply),
        1,
        1_000_000,
        2_000_000,
        ending.error,
        ending.usage,
        "named-by-upstream",
        ending.finish_reason,
    )
    request = Request((Message("user", "hello"),), "model")
    return Subject(CONVERSATION, Turn(TURN, "", 500_000, request, ending.status, outcome), Private(), "model")
