"""Chat completions: /v1/chat/completions. Stateless: nothing is kept, and a client that leaves stops its model.

State is an extension: with `conversation` or `previous_response_id` in the body the answer is a stored response.
"""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core.blocks import blocks
from parley.core.errors import ParleyError
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints, interrupted
from parley.server.exchange import Accepted, Kept
from parley.server.live import Live, Lost
from parley.server.openai.base import route
from parley.server.openai.stream import DONE, HEARTBEAT
from parley.server.outcome import check_beginning, check_outcome
from parley.server.parts import Parts
from parley.server.stream import FrameStream
from parley.wire.frames import encode
from parley.wire.openai import said
from parley.wire.openai.chat import Chunks, completion
from parley.wire.openai.events import Event
from parley.wire.openai.requests import CreateChat


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
            events = await check_beginning(live, live.events())
        except ParleyError as error:
            await leave()
            raise given_up(accepted, error) from None
        except BaseException:
            await leave()
            raise
        return FrameStream(chunks(live, events, usage), leave, live.outbox)


async def chunks(live: Live, events: AsyncIterator[Event | None], usage: bool) -> AsyncIterator[bytes]:
    """The frames of a stream."""
    made = Chunks(live.subject, usage=usage)
    yield frame(made.opening())
    async for event in events:
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


def frame(value: object) -> bytes:
    """A frame without a name: chat completions have none."""
    return b"data: %s\n\n" % encode(value)  # type: ignore[arg-type]


def given_up(accepted: Accepted, error: ParleyError) -> Exception:
    """The error of a request that was accepted."""
    return Kept(error) if accepted.stored else error


def routes(parts: Parts) -> list[BaseRoute]:
    """The route."""
    return [route(parts, "/v1/chat/completions", {"POST": Chat(parts).create})]
