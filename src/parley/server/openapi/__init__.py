"""What is served, described for programs: ``/openapi.json`` (OpenAPI 3.1) and ``/asyncapi.json`` (AsyncAPI 3.0).

Both tell of the product, nothing of this deployment: they are open to everyone.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from parley.server.parts import Parts
from parley.wire.frames import encode


@cache
def _encoded(name: str) -> bytes:
    # Made when it is asked for: a server starts without it.
    from parley.server.openapi.document import document
    from parley.server.openapi.sockets import sockets

    made: dict[str, Callable[[], dict[str, Any]]] = {"openapi": document, "asyncapi": sockets}
    return encode(made[name]())


def routes(_: Parts) -> list[BaseRoute]:
    """The routes."""

    async def describe(request: Request) -> Response:
        return Response(_encoded(request.url.path.strip("/").removesuffix(".json")), media_type="application/json")

    return [Route(f"/{name}.json", describe, methods=["GET"]) for name in ("openapi", "asyncapi")]
