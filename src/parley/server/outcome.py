"""What became of a turn, as the error of the request that asked for it, on interfaces where a request has an answer."""

from collections.abc import AsyncIterator
from typing import ClassVar

from parley.core.errors import InvalidRequest, NotFound, ParleyError, TooMany
from parley.core.turn import TurnError
from parley.server.live import Live
from parley.wire.openai.events import Event
from parley.wire.openai.response import Subject

QUIET = frozenset({"response.created", "response.queued", "response.in_progress"})
FAILED = frozenset({"response.failed", "response.incomplete"})


class UpstreamFailed(ParleyError):
    """The model failed: trying again may do better."""

    status: ClassVar[int] = 502


def check_outcome(subject: Subject) -> None:
    """Raise what became of a turn, unless there is an answer.

    Raises:
        ParleyError.
    """
    outcome = subject.turn.outcome
    assert outcome is not None
    if outcome.status == "cancelled":
        raise UpstreamFailed("cancelled", "The answer was cancelled.")
    if outcome.status == "failed":
        raise failure(outcome.error or TurnError("server_error", "There is no answer."))


def failure(error: TurnError) -> ParleyError:
    """A turn's failure as the error of a request."""
    match error.code:
        case "model_not_found":
            return NotFound(error.code, error.message, param="model")
        case "context_too_long":
            return InvalidRequest("context_length_exceeded", error.message, param="messages")
        case "upstream_rate_limited":
            return TooMany(error.code, error.message, retry_after=1)
        case _:
            return UpstreamFailed(error.code, error.message)


async def check_beginning(live: Live, events: AsyncIterator[Event | None]) -> AsyncIterator[Event | None]:
    """Its events, read up to the first that says something of the answer, or up to a silence.

    So that a model that fails at once can be told by the status of the response.

    Raises:
        ParleyError.
    """
    head: list[Event | None] = []
    async for event in events:
        head.append(event)
        if event is None or event["type"] not in QUIET:
            break
    if head and head[-1] is not None and head[-1]["type"] in FAILED:
        check_outcome(live.subject)
    return joined(head, events)


async def joined(head: list[Event | None], rest: AsyncIterator[Event | None]) -> AsyncIterator[Event | None]:
    """The events that were read already, then the others."""
    for event in head:
        yield event
    async for event in rest:
        yield event
