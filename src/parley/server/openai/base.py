"""What the endpoints of /v1 share: who asks, what they ask, and errors as OpenAI's clients expect them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from parley.core.errors import Gone, InvalidRequest, NotFound, ParleyError, Unavailable
from parley.server import bodies
from parley.server.api import principal_of
from parley.server.auth import Principal
from parley.server.errors import INTERNAL_ERROR, respond
from parley.server.events import until_disconnect
from parley.server.openai.exchange import Accepted, Exchange, Kept
from parley.server.openai.live import Live, Lost
from parley.server.openai.lookup import Lookup
from parley.server.parts import Parts
from parley.wire.openai.response import Subject

log = logging.getLogger(__name__)

T = TypeVar("T")

Handler = Callable[[Request, Principal], Awaitable[Response]]

# Statuses that make OpenAI's clients send a request again although nothing would change.
NO_USE = frozenset({408, 409})
MOST_PER_PAGE = 100


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def route(parts: Parts, path: str, handlers: dict[str, Handler]) -> Route:
    """A route of /v1, for known principals only."""

    async def endpoint(request: Request) -> Response:
        handler = handlers.get(request.method) or handlers["GET"]
        try:
            return await handler(request, await principal_of(parts, request))
        except ClientGone:
            return Response(status_code=499)
        except Kept as kept:
            response = respond(kept.error)
            response.headers["x-should-retry"] = "false"
            return response
        except ParleyError as error:
            # Here what was deleted is as if it had never been.
            shown = NotFound(error.code, error.message, param=error.param) if isinstance(error, Gone) else error
            response = respond(shown)
            if response.status_code in NO_USE:
                response.headers["x-should-retry"] = "false"
            return response
        except ClientDisconnect:
            raise
        except Exception:
            # Told here, so that pages of other origins can read it. It may have been done before it failed.
            log.exception("a request to %s failed", path)
            response = respond(INTERNAL_ERROR)
            response.headers["x-should-retry"] = "false"
            return response

    return Route(path, endpoint, methods=list(handlers))


class Endpoints:
    """What every group of endpoints has."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.service = parts.service
        self.exchange = Exchange(parts)
        self.lookup = Lookup(parts)

    async def body(self, request: Request, kind: type[T], *, optional: bool = False) -> T:
        """The body of a request."""
        config = self.parts.config
        limit, seconds = config.body_bytes, config.body_seconds
        return await bodies.read_json(request, kind, limit=limit, seconds=seconds, optional=optional)

    def key(self, request: Request) -> str | None:
        """The idempotency key of a request, if it has one."""
        values = request.headers.getlist("idempotency-key")
        return bodies.idempotency_key(values, self.parts.config.limits.key_chars)

    async def ended(self, request: Request, accepted: Accepted) -> Subject:
        """Wait for the end of a turn, as long as the client does.

        Raises:
            ClientGone, Lost, ParleyError.
        """
        live = Live(self.parts, accepted.who, accepted.conversation, accepted.turn)
        watch = asyncio.create_task(until_disconnect(request.receive))
        try:
            await live.open()
            waiting = asyncio.create_task(live.wait())
            await asyncio.wait({watch, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                raise ClientGone
            return waiting.result()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            live.close()


def paging(request: Request) -> tuple[int, str, str | None]:
    """`limit`, `order` and `after` of a list.

    Raises:
        InvalidRequest.
    """
    query = request.query_params
    limit = bodies.integer(query, "limit", 20, 1, MOST_PER_PAGE)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("invalid_value", "`order` must be asc or desc.", param="order")
    return limit, order, query.get("after")


def flag(request: Request, name: str) -> bool:
    """A yes or no of the query string.

    Raises:
        InvalidRequest.
    """
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise InvalidRequest("invalid_value", f"`{name}` must be true or false.", param=name)
    return text in ("true", "1")


def interrupted(lost: Lost) -> Unavailable:
    """The refusal of a request that may safely be sent again: nothing of it is kept."""
    return Unavailable(lost.code, lost.message, retry_after=1)
