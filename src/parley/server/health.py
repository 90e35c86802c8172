"""Is this process alive, and can it serve?"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from parley.core.errors import ParleyError, Unavailable
from parley.server.api import answer
from parley.server.parts import Parts

# A conversation that does not exist: asking whose it is, is asking whether the store answers.
NOTHING = f"conv_{0:034x}"


def routes(parts: Parts) -> list[BaseRoute]:
    """Both are open to everyone, and say nothing but yes or no."""

    async def alive(_: Request) -> Response:
        return answer({"status": "ok"})

    async def ready(_: Request) -> Response:
        if parts.hub.draining:
            raise Unavailable("restarting", "The server is about to restart.", retry_after=1)
        try:
            await parts.store.conversations.owner(NOTHING)
        except ParleyError:
            raise
        except Exception as error:
            raise Unavailable("store_unreachable", "The store is out of reach.", retry_after=1) from error
        return answer({"status": "ok"})

    return [Route("/healthz", alive, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]
