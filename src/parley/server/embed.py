"""The page inside other people's pages: the script that makes `<parley-chat>`, and who may show it.

One setting allows both, to the same origins: their pages may load the script (CORS), and frame ours (`frame-ancestors`,
set by the gate). They may not speak to the API; `origins` is for that.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from parley.server.page import FOLDER, Asset
from parley.server.parts import Parts

SCRIPT = "/embed.js"


def routes(parts: Parts) -> list[BaseRoute]:
    """The script is open to everyone, and to the pages of some origins."""
    asset = Asset(FOLDER / "embed.js")

    async def script(request: Request) -> Response:
        response = asset.respond(request)
        origin = request.headers.get("origin", "")
        if origin in parts.config.embed_origin:
            response.headers["access-control-allow-origin"] = origin
        response.headers.add_vary_header("origin")
        return response

    return [Route(SCRIPT, script, methods=["GET"])]
