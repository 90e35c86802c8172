"""Responses: /v1/responses and what is below it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core.blocks import blocks
from parley.core.errors import InvalidRequest
from parley.server import bodies
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints, interrupted
from parley.server.exchange import Accepted
from parley.server.live import Live, Lost
from parley.server.lookup import unknown_response
from parley.server.openai.base import flag, paging, route
from parley.server.openai.stream import as_sse
from parley.server.parts import Parts
from parley.server.stream import FrameStream
from parley.wire.openai import items, said
from parley.wire.openai.requests import CreateResponse
from parley.wire.openai.response import Subject, is_over, response_object

MOST_EVENTS = 999_999_999


class Responses(Endpoints):
    """The endpoints."""

    async def create(self, request: Request, who: Principal) -> Response:
        """POST /v1/responses"""
        key = self.key(request)
        body = await self.body(request, CreateResponse)
        body.check()
        spoken = said.items(body.input if isinstance(body.input, str | list) else "")
        await self.exchange.require_calls(who, body, spoken)
        accepted = await self.exchange.accept(
            who,
            body,
            spoken,
            body.private(),
            model=body.model or "",
            key=key,
            stored=body.store is not False,
        )
        if body.stream:
            return await self._stream(accepted)
        if body.background:
            return answer(await self.shown(accepted.conversation, accepted.turn))
        try:
            subject = await self.ended(request, accepted)
        except Lost as lost:
            if not accepted.stored:
                raise interrupted(lost) from None
            # It was accepted and goes on: a refusal would have it sent again.
            return answer(await self.shown(accepted.conversation, accepted.turn))
        finally:
            await self.exchange.release(accepted)
        return answer(whole(subject))

    async def get(self, request: Request, who: Principal) -> Response:
        """GET /v1/responses/{id}"""
        subject = await self.lookup.response(who, request.path_params["id"])
        if not flag(request, "stream"):
            return answer(await self.shown(subject.conversation, subject.turn.id))
        after = bodies.integer(request.query_params, "starting_after", -1, 0, MOST_EVENTS)
        return await self._stream(Accepted(who, subject.conversation, subject.turn.id, True), after)

    async def delete(self, request: Request, who: Principal) -> Response:
        """DELETE /v1/responses/{id}"""
        subject = await self.lookup.response(who, request.path_params["id"])
        conversation, turn = subject.conversation, subject.turn.id
        conversations = self.service.conversations
        await conversations.cancel(conversation, turn)
        await conversations.take_out(conversation, turn, None)
        if subject.echo.alone and (await conversations.snapshot(conversation, turns=0)).total == 1:
            await self.service.delete(who, conversation)
        return answer({"id": subject.response, "object": "response", "deleted": True})

    async def cancel(self, request: Request, who: Principal) -> Response:
        """POST /v1/responses/{id}/cancel"""
        subject = await self.lookup.response(who, request.path_params["id"])
        if not subject.echo.background:
            message = "Only a response that was created with `background` can be cancelled."
            raise InvalidRequest("response_not_background", message)
        _, status = await self.service.conversations.cancel(subject.conversation, subject.turn.id)
        if status != "cancelled":
            raise InvalidRequest("response_ended", f"The response is {status} already.")
        return answer(await self.shown(subject.conversation, subject.turn.id))

    async def input_items(self, request: Request, who: Principal) -> Response:
        """GET /v1/responses/{id}/input_items"""
        subject = await self.lookup.response(who, request.path_params["id"])
        limit, order, after = paging(request)
        listed = items.input_items(subject.turn, subject.response)
        if order == "desc":
            listed.reverse()
        return answer(items.page(items.behind(listed, after), limit=limit))

    async def shown(self, conversation: str, turn: str) -> dict[str, Any]:
        """A response as it stands.

        Raises:
            NotFound.
        """
        subject = await self.lookup.subject(conversation, turn)
        if is_over(subject.turn):
            return whole(subject)
        snapshot = await self.service.conversations.snapshot(conversation, turns=0)
        running = snapshot.running
        if running is not None and running.turn == turn:
            found = blocks(subject.turn, running.body, running.pieces)
            return response_object(subject, found, status="in_progress")
        if turn in snapshot.waiting:
            return response_object(subject, [], status="queued")
        subject = await self.lookup.subject(conversation, turn)  # it ended in between
        if not is_over(subject.turn):
            raise unknown_response()
        return whole(subject)

    async def _stream(self, accepted: Accepted, after: int = -1) -> Response:
        live = Live(self.parts, accepted.who, accepted.conversation, accepted.turn, after=after)

        async def leave() -> None:
            live.close()
            await self.exchange.release(accepted)

        try:
            await live.open()
            live.check_start()
        except BaseException:
            await leave()
            raise
        return FrameStream(as_sse(live.events()), leave, live.outbox)


def whole(subject: Subject) -> dict[str, Any]:
    """A response that is over."""
    outcome = subject.turn.outcome
    assert outcome is not None
    return response_object(subject, blocks(subject.turn, outcome.body, outcome.pieces))


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes."""
    api = Responses(parts)
    one = "/v1/responses/{id}"
    return [
        route(parts, "/v1/responses", {"POST": api.create}),
        route(parts, one, {"GET": api.get, "DELETE": api.delete}),
        route(parts, one + "/cancel", {"POST": api.cancel}),
        route(parts, one + "/input_items", {"GET": api.input_items}),
    ]
