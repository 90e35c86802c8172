"""Chat completions: /v1/chat/completions. Stateless: nothing is kept, and a client that leaves stops its model.

State is an extension: with `conversation` or `previous_response_id` in the body the answer is a stored response.
"""

from collections.abc import AsyncIterator
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core.blocks import blocks
from parley.core.errors import InvalidRequest, NotFound, ParleyError, TooMany
from parley.core.turn import TurnError
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.openai.base import Endpoints, interrupted, route
from parley.server.openai.exchange import Accepted, Kept
from parley.server.openai.live import Live, Lost
from parley.server.openai.stream import DONE, HEARTBEAT, FrameStream
from parley.server.parts import Parts
from parley.wire.frames import encode
from parley.wire.openai import said
from parley.wire.openai.chat import Chunks, completion
from parley.wire.openai.events import Event
from parley.wire.openai.requests import CreateChat
from parley.wire.openai.response import Subject


class UpstreamFailed(ParleyError):
    """The model failed: trying again may do better."""

    status: ClassVar[int] = 502


class Chat(Endpoints):
    """The endpoint."""

    async def create(self, request: Request, who: Principal) -> Response:
        """POST /v1/chat/completions"""
        key = self.key(request)
        body = await self.body(request, CreateChat)
        body.check()
        private = body.private()
        stored = body.conversation is not None or body.previous_response_id is not None
        accepted = await self.exchange.accept(
            who,
            body,
            said.chat(body.messages),
            private,
            model=body.model or "",
            key=key,
            stored=stored,
        )
        if body.stream:
            usage = body.stream_options is not None and bool(body.stream_options.include_usage)
            return await self._stream(accepted, usage)
        try:
            subject = await self.ended(request, accepted)
        except Lost as lost:
            raise given_up(accepted, interrupted(lost)) from None
        finally:
            await self.exchange.release(accepted)
        try:
            check_outcome(subject)
        except ParleyError as error:
            raise given_up(accepted, error) from None
        outcome = subject.turn.outcome
        assert outcome is not None
        return answer(completion(subject, blocks(subject.turn, outcome.body, outcome.pieces)))

    async def _stream(self, accepted: Accepted, usage: bool) -> Response:
        live = Live(self.parts, accepted.who, accepted.conversation, accepted.turn)

        async def leave() -> None:
            live.close()
            await self.exchange.release(accepted)

        try:
            await live.open()
            events = live.events()
            head = await self._head(events)
            if head and head[-1] is not None and head[-1]["type"] in FAILED:
                check_outcome(live.subject)
        except ParleyError as error:
            await leave()
            raise given_up(accepted, error) from None
        except BaseException:
            await leave()
            raise
        return FrameStream(chunks(live, head, events, usage), leave, live.outbox)

    async def _head(self, events: AsyncIterator[Event | None]) -> list[Event | None]:
        """The events up to the first that says something of the answer, or up to a silence.

        So that a model that fails at once can be told by the status of the response.
        """
        head: list[Event | None] = []
        async for event in events:
            head.append(event)
            if event is None or event["type"] not in QUIET:
                break
        return head


QUIET = frozenset({"response.created", "response.queued", "response.in_progress"})
FAILED = frozenset({"response.failed", "response.incomplete"})


async def chunks(
    live: Live, head: list[Event | None], rest: AsyncIterator[Event | None], usage: bool
) -> AsyncIterator[bytes]:
    """The frames of a stream."""
    made = Chunks(live.subject, usage=usage)
    yield frame(made.opening())
    async for event in joined(head, rest):
        if event is None:
            yield HEARTBEAT
            continue
        if event["type"] == "error":
            yield frame({"error": event["error"]})
            return
        for chunk in made.take(event):
            yield frame(chunk)
    try:
        check_outcome(live.subject)
    except ParleyError as error:
        yield frame(error.envelope())
        return
    for chunk in made.ending(live.subject.turn):
        yield frame(chunk)
    yield DONE


async def joined(head: list[Event | None], rest: AsyncIterator[Event | None]) -> AsyncIterator[Event | None]:
    """The events that were read already, then the others."""
    for event in head:
        yield event
    async for event in rest:
        yield event


def frame(value: object) -> bytes:
    """A frame without a name: chat completions have none."""
    return b"data: %s\n\n" % encode(value)  # type: ignore[arg-type]


def given_up(accepted: Accepted, error: ParleyError) -> Exception:
    """The error of a request that was accepted."""
    return Kept(error) if accepted.stored else error


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


def routes(parts: Parts) -> list[BaseRoute]:
    """The route."""
    return [route(parts, "/v1/chat/completions", {"POST": Chat(parts).create})]
