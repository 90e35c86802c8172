"""The description of all that is served over HTTP, as OpenAPI 3.1: made of the tables here and the types they name."""

import re
from typing import Any

import msgspec

from parley import __version__
from parley.server.openapi.native import NATIVE
from parley.server.openapi.operation import EVENTS, Answer, Group, Operation, Query
from parley.server.openapi.others import ACTIONS, FILES, MCP, OLLAMA, OPENAI, SEEDS, STREAMS, UI

GROUPS = (NATIVE, OPENAI, UI, OLLAMA, STREAMS, MCP, SEEDS, ACTIONS, FILES)
REFERENCE = "#/components/schemas/{name}"
NAMED = re.compile(r"\{(\w+)\}")
# As the server checks the request before any operation does: Host, Origin, size, time.
ANY_ERROR = "what went wrong"

Object = dict[str, Any]


def document() -> Object:
    """The whole document."""
    kinds = list(dict.fromkeys(kind for group in GROUPS for each in group.operations.values() for kind in _kinds(each)))
    kinds += [group.error for group in GROUPS if group.error is not None and group.error not in kinds]
    made, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schemas = dict(zip(kinds, made, strict=True))
    paths: dict[str, Object] = {}
    for group in GROUPS:
        for name, operation in group.operations.items():
            method, _, path = name.partition(" ")
            paths.setdefault(path, {})[method.lower()] = _operation(group, name, operation, schemas)
    whole: Object = portable(
        {
            "openapi": "3.1.0",
            "info": {"title": "Parley", "version": __version__, "license": {"name": "Apache-2.0"}},
            "tags": [{"name": group.name, "description": group.does} for group in GROUPS],
            "security": [{"token": []}, {"cookie": []}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "description": "the access key or a session token"},
                    "cookie": {"type": "apiKey", "in": "cookie", "name": "parley", "description": "our page's own"},
                },
            },
        }
    )
    return whole


def _kinds(operation: Operation) -> list[Any]:
    """The types that an operation names."""
    found = [operation.body, *(answer.kind for answer in operation.answers.values())]
    return [kind for kind in (*found, *(each.kind for each in operation.query)) if kind is not None]


def _operation(group: Group, name: str, operation: Operation, schemas: dict[Any, Object]) -> Object:
    method, _, path = name.partition(" ")
    told: Object = {
        "operationId": re.sub(r"[^a-z0-9]+", "_", f"{method} {path}".lower()).strip("_"),
        "tags": [group.name],
        "summary": operation.does[0].upper() + operation.does[1:],
        "parameters": [
            *(
                {"name": each, "in": "path", "required": True, "schema": {"type": "string"}}
                for each in NAMED.findall(path)
            ),
            *(_parameter(each, schemas) for each in operation.query),
        ],
        "responses": {
            **{str(status): _answer(answer, schemas) for status, answer in operation.answers.items()},
            "4XX": _error(group, schemas),
            "5XX": _error(group, schemas),
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body]}}
        told["requestBody"] = {"required": not operation.optional, "content": content}
    if operation.open:
        told["security"] = []
    return told


def _parameter(query: Query, schemas: dict[Any, Object]) -> Object:
    return {"name": query.name, "in": query.place, "required": query.required, "schema": schemas[query.kind]}


def _answer(answer: Answer, schemas: dict[Any, Object]) -> Object:
    told: Object = {"description": answer.does}
    if answer.kind is not None or answer.media[0] != "application/json":
        told["content"] = {media: _content(answer, media, schemas) for media in answer.media}
    elif answer.does.startswith(("OpenAPI", "AsyncAPI")):
        told["content"] = {"application/json": {"schema": {"type": "object"}}}
    return told


def _content(answer: Answer, media: str, schemas: dict[Any, Object]) -> Object:
    if media == EVENTS:
        return {}  # a schema would be one of the whole text
    return {"schema": {"type": "string"} if answer.kind is None else schemas[answer.kind]}


def _error(group: Group, schemas: dict[Any, Object]) -> Object:
    schema = {} if group.error is None else schemas[group.error]
    return {"description": ANY_ERROR, "content": {group.errors: {"schema": schema}}}


def portable(value: Any) -> Any:
    """A document whose patterns are ECMAScript's, as JSON Schema's are: Python's end of the text is `\\\\Z`."""
    if isinstance(value, dict):
        return {
            name: inner.replace(r"\Z", "$") if name == "pattern" and isinstance(inner, str) else portable(inner)
            for name, inner in value.items()
        }
    return [portable(inner) for inner in value] if isinstance(value, list) else value
