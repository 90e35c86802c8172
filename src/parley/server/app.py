"""The application: the parts put together, as one ASGI app."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from parley.server import (
    agui,
    api,
    durable_streams,
    embed,
    health,
    links,
    mcp,
    ollama,
    openai,
    openapi,
    page,
    seeds,
    serverless,
    socket,
    uimessage,
    visit,
)
from parley.server.config import Config, Store
from parley.server.errors import HANDLERS
from parley.server.gate import Gate
from parley.server.parts import Parts
from parley.store.cancelling import cancel

# Groups of routes. Each declares who may use them: principals only (api.private), or why not.
GROUPS: list[Callable[[Parts], list[BaseRoute]]] = [
    health.routes,
    api.routes,
    links.routes,
    socket.routes,
    openai.routes,
    uimessage.routes,
    agui.routes,
    ollama.routes,
    durable_streams.routes,
    mcp.routes,
    seeds.routes,
    serverless.routes,
    embed.routes,
    openapi.routes,
    page.routes,
]


class App:
    """One server's application. `app` is what an ASGI server runs; `drain` sends its clients away."""

    def __init__(self, config: Config, store: Store) -> None:
        self.parts = Parts(config, store)
        routes = [route for group in GROUPS for route in group(self.parts)]
        routes.append(WebSocketRoute("/{path:path}", socket.Nowhere()))
        starlette = Starlette(
            routes=routes,
            middleware=[cors(config)] if config.origins else [],
            exception_handlers=HANDLERS,
            lifespan=self.lifespan,
        )
        starlette.router.redirect_slashes = False
        gate = Gate(starlette, config.origins, config.hosts, config.root_path, config.embed_origin)
        self.app: ASGIApp = believing(config.proxies, gate)

    def drain(self) -> bool:
        """Say goodbye to every open connection, if there is any; new ones are refused."""
        return self.parts.hub.drain()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette | None = None) -> AsyncIterator[None]:
        """What runs while it serves."""
        hub = asyncio.create_task(self.parts.hub.run())
        try:
            yield
        finally:
            await cancel(hub)
            await self.parts.service.close()


def believing(proxies: Sequence[str], app: ASGIApp) -> ASGIApp:
    """An application that is told by these proxies who connects, and how; nobody else is believed."""
    if not proxies:
        return app
    wrapped: Any = ProxyHeadersMiddleware(cast("Any", app), list(proxies))
    return cast("ASGIApp", wrapped)


def cors(config: Config) -> Middleware:
    """Lets pages of the listed origins read our answers; they show a token, cookies are not for them."""
    return Middleware(
        CORSMiddleware,
        allow_origins=config.origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["*"],  # OpenAI's clients send a dozen of their own
        expose_headers=[
            "x-request-id",
            "idempotent-replayed",
            "retry-after",
            *visit.HEADERS,
            mcp.SESSION,
            *durable_streams.HEADERS,
        ],
    )
