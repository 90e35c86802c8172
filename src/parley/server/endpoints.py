"""What endpoints that are spoken by other people's clients share: who asks, what they ask, and errors in their form."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from parley.core.errors import ParleyError, Unavailable
from parley.server import bodies
from parley.server.api import principal_of
from parley.server.auth import Principal
from parley.server.errors import INTERNAL_ERROR
from parley.server.events import until_disconnect
from parley.server.exchange import Accepted, Exchange, Kept
from parley.server.live import Live, Lost
from parley.server.lookup import Lookup
from parley.server.parts import Parts
from parley.store.cancelling import cancel
from parley.wire.openai.response import Subject

log = logging.getLogger(__name__)

T = TypeVar("T")

Handler = Callable[[Request, Principal], Awaitable[Response]]
# Makes the response that tells an error, and whether the request was kept: accepted, or may have been.
Tell = Callable[[ParleyError, bool], Response]


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def told_route(parts: Parts, path: str, handlers: dict[str, Handler], tell: Tell) -> Route:
    """A route for known principals only, whose errors have a form of their own."""

    async def endpoint(request: Request) -> Response:
        handler = handlers.get(request.method) or handlers["GET"]
        try:
            return await handler(request, await principal_of(parts, request))
        except ClientGone:
            return Response(status_code=499)
        except Kept as kept:
            return tell(kept.error, True)
        except ParleyError as error:
            return tell(error, False)
        except ClientDisconnect:
            raise
        except Exception:
            # Told here, so that pages of other origins can read it. It may have been done before it failed.
            log.exception("a request to %s failed", path)
            return tell(INTERNAL_ERROR, True)

    return Route(path, endpoint, methods=list(handlers))


class Endpoints:
    """What every group of endpoints has."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.service = parts.service
        self.exchange = Exchange(parts)
        self.lookup = Lookup(parts)

    async def body(self, request: Request, kind: type[T], *, optional: bool = False, declared: bool = True) -> T:
        """The body of a request; see `bodies.read_json`."""
        config = self.parts.config
        limit, seconds = config.body_bytes, config.body_seconds
        return await bodies.read_json(request, kind, limit=limit, seconds=seconds, optional=optional, declared=declared)

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

        async def end() -> Subject:
            await live.open()
            return await live.wait()

        try:
            return await while_connected(request, end())
        finally:
            live.close()


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do something as long as its client waits for it.

    Raises:
        ClientGone: and whatever the work raises.
    """
    watch = asyncio.create_task(until_disconnect(request.receive))
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({watch, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        await cancel(watch, working)


def interrupted(lost: Lost) -> Unavailable:
    """The refusal of a request that may safely be sent again: nothing of it is kept."""
    return Unavailable(lost.code, lost.message, retry_after=1)
