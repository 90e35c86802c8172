"""What the endpoints of /v1 share: errors as OpenAI's clients expect them, and what stands in a query."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley.core.errors import Gone, InvalidRequest, NotFound, ParleyError
from parley.server import bodies
from parley.server.endpoints import Handler, told_route
from parley.server.errors import respond
from parley.server.parts import Parts

# Statuses that make OpenAI's clients send a request again although nothing would change.
NO_USE = frozenset({408, 409})
SPENT = "insufficient_quota"
MOST_PER_PAGE = 100


def route(parts: Parts, path: str, handlers: dict[str, Handler]) -> Route:
    """A route of /v1, for known principals only."""
    return told_route(parts, path, handlers, tell)


def tell(error: ParleyError, kept: bool) -> Response:
    """The response that tells an error."""
    # Here what was deleted is as if it had never been.
    shown = NotFound(error.code, error.message, param=error.param) if isinstance(error, Gone) else error
    response = respond(shown)
    if kept or response.status_code in NO_USE or error.code == SPENT:
        response.headers["x-should-retry"] = "false"
    return response


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
