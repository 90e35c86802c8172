"""Blocks: a reply sorted into what it consists of: messages, reasoning, calls of functions."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, field

from parley.core.calls import Begun, Calls
from parley.core.message import Call, Message
from parley.core.pieces import Piece, spans
from parley.core.turn import Turn

Kind = Literal["message", "reasoning", "function_call"]


class Block(Struct):
    """A part of a reply of one kind. `parts` are its deltas: text, thoughts, or a call's arguments.

    `number` is its place in the turn: the messages of the input come first.
    """

    kind: Kind
    number: int
    name: str = ""
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.parts)


class Blocks:
    """Sorts the pieces of a reply into blocks.

    Args:
        first: the number of the first block: how many messages the turn's input has.
    """

    def __init__(self, first: int) -> None:
        self.all: list[Block] = []
        self._first = first
        self._calls = Calls()

    def take(self, piece: Piece) -> Iterator[tuple[Block, str | None]]:
        """Take a piece. Yields what came of it, in order: a block and None when it begins, a block and its delta."""
        if piece.channel == "tool":
            for line in self._calls.take(piece.text):
                if isinstance(line, Begun):
                    yield self._begin("function_call", line.name), None
                elif line and self.all:
                    self.all[-1].parts.append(line)
                    yield self.all[-1], line
            return
        kind: Kind = "message" if piece.channel == "text" else "reasoning"
        if not self.all or self.all[-1].kind != kind:
            yield self._begin(kind), None
        self.all[-1].parts.append(piece.text)
        yield self.all[-1], piece.text

    def _begin(self, kind: Kind, name: str = "") -> Block:
        self.all.append(Block(kind, self._first + len(self.all), name))
        return self.all[-1]


def blocks(turn: Turn, body: str, pieces: str) -> list[Block]:
    """The blocks of a reply as far as it stands."""
    made = Blocks(len(turn.request.input))
    for piece in spans(body, pieces):
        for _ in made.take(piece):
            pass
    return made.all


def call_id(turn: str, number: int) -> str:
    """Name the call that is the block of that number. What the model calls it would differ after a takeover."""
    return f"call_{turn}{number:04x}"


def block_message(turn: str, block: Block) -> Message | None:
    """A block as a model is shown it again; None: it is not."""
    match block.kind:
        case "message":
            return Message("assistant", block.text)
        case "function_call":
            return Message("assistant", "", (Call(call_id(turn, block.number), block.name, block.text),))
        case "reasoning":
            return None


def answer_messages(turn: Turn) -> tuple[Message, ...]:
    """The answer of a turn that has ended, as messages: what of it a model is shown again.

    A call that was broken off is not among them, nor what was taken out of the conversation.
    """
    outcome = turn.outcome
    if outcome is None:
        return ()
    found = blocks(turn, outcome.body, outcome.pieces)
    if found and found[-1].kind == "function_call" and outcome.status != "completed":
        found.pop()
    said = (block_message(turn.id, block) for block in found if block.number not in turn.removed)
    return tuple(message for message in said if message is not None)


def input_messages(turn: Turn) -> tuple[Message, ...]:
    """What a turn says, without what was taken out of the conversation."""
    return tuple(message for number, message in enumerate(turn.request.input) if number not in turn.removed)
