"""A talk as its viewers would see it: one message, and the frames of its answer."""

from typing import Any

from parley.chaos.talk import Asked, Talk

TURN, TAG, TOKENS = "t1", "c0t1", 4


def frames(tokens: int = TOKENS, tag: str = TAG) -> list[dict[str, Any]]:
    """What a right server sends of a message and its whole answer."""
    told: list[dict[str, Any]] = [
        {"type": "queued", "turn": TURN, "parent": "", "request": {"input": [{"role": "user", "content": "say"}]}},
        {"type": "started", "turn": TURN},
    ]
    offset = 0
    for at in range(tokens):
        text = f"{tag}:{at:04d} "
        told.append({"type": "delta", "turn": TURN, "gen": 1, "offset": offset, "text": text})
        offset += len(text)
    told.append({"type": "end", "turn": TURN, "status": "completed", "length": offset})
    return [frame | {"cursor": f"{number}-{number}"} for number, frame in enumerate(told, 1)]


def talk(*seen: list[dict[str, Any]]) -> Talk:
    """A talk in which one message was accepted; each viewer is shown these frames, or the right ones."""
    made = Talk("conversation", 0)
    made.accept(TURN, Asked(TAG, TOKENS))
    for viewer, shown in zip(made.viewers, seen or (frames(), frames()), strict=True):
        for frame in shown:
            viewer.take(frame)
    return made
