"""The events of a response: a fold of its turn and the pieces of its reply, numbered from 0 without a gap.

    opening() -> started() -> piece() * n -> ending()

The numbers depend on the turn and the pieces alone, so they are the same on every replay, from any server, whether
the reply runs, has ended, or was taken over meanwhile.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from parley.core.blocks import Block, Blocks
from parley.core.pieces import Piece, cut
from parley.core.turn import Turn
from parley.wire.openai.items import ItemStatus, block_item, item_id, text_part
from parley.wire.openai.response import Subject, response_object

Event = dict[str, Any]

ENDINGS = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "failed": "response.failed",
    # There is no event for it: the response's status tells.
    "cancelled": "response.incomplete",
}


class Events:
    """Tells the events of one response, in order; every method yields the next ones."""

    def __init__(self, subject: Subject) -> None:
        self.number = 0  # of the next event
        self._subject = subject
        self._response = subject.response
        self._first = len(subject.turn.request.input)
        self._blocks = Blocks(self._first)
        self._open: Block | None = None

    def opening(self) -> Iterator[Event]:
        """The turn was accepted."""
        background = self._subject.echo.background
        standing = response_object(self._subject_at_start(), [], status="queued" if background else "in_progress")
        yield self._event("response.created", response=standing)
        if background:
            yield self._event("response.queued", response=standing)

    def started(self) -> Iterator[Event]:
        """A worker took it."""
        yield self._event(
            "response.in_progress", response=response_object(self._subject_at_start(), [], status="in_progress")
        )

    def piece(self, piece: Piece) -> Iterator[Event]:
        """A piece of the reply came."""
        for block, part in self._blocks.take(piece):
            if part is None:
                if self._open is not None:
                    yield from self._close("completed")
                yield from self._begin(block)
            else:
                yield self._event(DELTAS[block.kind], **self._place(block), delta=part, **EXTRA.get(block.kind, {}))

    def ending(self, turn: Turn) -> Iterator[Event]:
        """The turn is over: `turn` as it stands now."""
        if self._open is not None:
            yield from self._close("completed" if turn.status == "completed" else "incomplete")
        subject = msgspec.structs.replace(self._subject, turn=turn)
        yield self._event(ENDINGS[turn.status], response=response_object(subject, self._blocks.all))

    def _subject_at_start(self) -> Subject:
        turn = msgspec.structs.replace(self._subject.turn, status="queued", outcome=None)
        return msgspec.structs.replace(self._subject, turn=turn)

    def _begin(self, block: Block) -> Iterator[Event]:
        self._open = block
        yield self._event(
            "response.output_item.added",
            output_index=block.number - self._first,
            item=block_item(block, self._response, "in_progress", begun=True),
        )
        if block.kind == "message":
            yield self._event("response.content_part.added", **self._place(block), part=text_part(""))
        elif block.kind == "reasoning":
            yield self._event(
                "response.reasoning_summary_part.added", **self._place(block), part={"type": "summary_text", "text": ""}
            )

    def _close(self, status: ItemStatus) -> Iterator[Event]:
        block = self._open
        assert block is not None
        self._open = None
        place, text = self._place(block), block.text
        if block.kind == "message":
            yield self._event("response.output_text.done", **place, text=text, logprobs=[])
            yield self._event("response.content_part.done", **place, part=text_part(text))
        elif block.kind == "reasoning":
            yield self._event("response.reasoning_summary_text.done", **place, text=text)
            yield self._event(
                "response.reasoning_summary_part.done", **place, part={"type": "summary_text", "text": text}
            )
        elif status == "completed":
            yield self._event("response.function_call_arguments.done", **place, name=block.name, arguments=text)
        yield self._event(
            "response.output_item.done",
            output_index=block.number - self._first,
            item=block_item(block, self._response, status),
        )

    def _place(self, block: Block) -> dict[str, Any]:
        place: dict[str, Any] = {
            "item_id": item_id(block.kind, self._response, block.number),
            "output_index": block.number - self._first,
        }
        if block.kind == "message":
            place["content_index"] = 0
        elif block.kind == "reasoning":
            place["summary_index"] = 0
        return place

    def _event(self, kind: str, **fields: Any) -> Event:
        number, self.number = self.number, self.number + 1
        return {"type": kind, "sequence_number": number, **fields}


DELTAS = {
    "message": "response.output_text.delta",
    "reasoning": "response.reasoning_summary_text.delta",
    "function_call": "response.function_call_arguments.delta",
}
EXTRA: dict[str, dict[str, Any]] = {"message": {"logprobs": []}}


def replay(subject: Subject) -> Iterator[Event]:
    """All events of a response that is over."""
    outcome = subject.turn.outcome
    assert outcome is not None
    events = Events(subject)
    yield from events.opening()
    if outcome.started_at:
        yield from events.started()
    for piece in cut(outcome.body, outcome.pieces):
        yield from events.piece(piece)
    yield from events.ending(subject.turn)


def error_event(number: int, code: str, message: str, kind: str = "server_error") -> Event:
    """The last event of a stream that cannot go on, in both forms that clients know."""
    return {
        "type": "error",
        "sequence_number": number,
        "code": code,
        "message": message,
        "param": None,
        "error": {"type": kind, "code": code, "message": message, "param": None},
    }
