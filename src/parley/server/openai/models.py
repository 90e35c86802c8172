"""Models: /v1/models. Assistants are models here: what may stand in the field `model`."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core.errors import NotFound
from parley.server.api import answer
from parley.server.auth import Principal
from parley.server.openai.base import route
from parley.server.parts import Parts

# Told to clients that must have a number.
SINCE = 1_763_683_200


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes."""
    names = dict.fromkeys([choice.name for choice in (*parts.config.models, *parts.config.assistants)])
    data = [{"id": name, "object": "model", "created": SINCE, "owned_by": "parley"} for name in names]
    shown = {model["id"]: model for model in data}

    async def index(_: Request, __: Principal) -> Response:
        return answer({"object": "list", "data": data})

    async def get(request: Request, _: Principal) -> Response:
        name = request.path_params["name"]
        if name not in shown:
            raise NotFound("model_not_found", f"The model {name[:200]!r} does not exist.", param="model")
        return answer(shown[name])

    return [
        route(parts, "/v1/models", {"GET": index}),
        route(parts, "/v1/models/{name:path}", {"GET": get}),
    ]
