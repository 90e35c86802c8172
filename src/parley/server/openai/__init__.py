"""OpenAI's API on Parley's log: /v1 (docs/reference/openai.md)."""

from starlette.routing import BaseRoute

from parley.server.openai import chat, context, conversations, models, responses, socket
from parley.server.parts import Parts


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes; every one of them is for known principals."""
    return [
        route for group in (context, responses, conversations, chat, models, socket) for route in group.routes(parts)
    ]
