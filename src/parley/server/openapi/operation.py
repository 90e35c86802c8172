"""What is told of one method of one path."""

from typing import Any

from msgspec import Struct

JSON, EVENTS, TEXT, HTML, ANY = "application/json", "text/event-stream", "text/plain", "text/html", "*/*"


class Query(Struct, frozen=True):
    """A parameter of the query, or with `place` of the headers."""

    name: str
    kind: Any = str
    required: bool = False
    place: str = "query"


class Answer(Struct, frozen=True):
    """A good answer: its type (None: no body, or one that has no schema) and the media types it may come in."""

    does: str
    kind: Any = None
    media: tuple[str, ...] = (JSON,)


class Operation(Struct, frozen=True):
    """What a request does.

    Args:
        body: its type; None: it has none. `optional`: it may be left out.
        answers: the good ones, by status; every other one has the form of its group's errors.
        open: whether nobody is asked who they are.
    """

    does: str
    answers: dict[int, Answer]
    body: Any = None
    optional: bool = False
    query: tuple[Query, ...] = ()
    open: bool = False


class Group(Struct, frozen=True):
    """Operations of one protocol. `error`: the type of all errors of theirs; None: they have another form each."""

    name: str
    does: str
    error: Any
    operations: dict[str, Operation]
    errors: str = JSON  # the media type they come in
