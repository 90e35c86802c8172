"""The description is whole: every route is in it, what is in it is there, and it holds together."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute

from parley.server.app import GROUPS
from parley.server.config import Choice
from parley.server.openapi import document
from parley.server.openapi.sockets import SOCKETS
from tests.server.shared import Shared, shared

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(models=(Choice("model"),), default="model") as made:
        yield made


@pytest.fixture(scope="module")
def told(server: Shared) -> dict[str, Any]:
    answer = server.request("GET", "/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json
    return found


def routes(server: Shared) -> Iterator[Route | WebSocketRoute]:
    parts = server.home.served[0].server.app.parts
    for group in GROUPS:
        for route in group(parts):
            assert isinstance(route, Route | WebSocketRoute)
            yield route


def plain(path: str) -> str:
    """A route's path as the description writes it."""
    return path.replace(":path}", "}")


def test_every_route_is_described_or_refuses(server: Shared, told: dict[str, Any]) -> None:
    for route in routes(server):
        for method in sorted(getattr(route, "methods", None) or set()):
            if method == "HEAD" or method.lower() in told["paths"].get(plain(route.path), {}):
                continue
            answer = server.request(method, re.sub(r"\{.*?\}", "x", route.path), b"{}" if method != "GET" else None)
            assert answer.status in (400, 405, 426), f"{method} {route.path} is not described"


def test_all_that_is_described_is_there(server: Shared, told: dict[str, Any]) -> None:
    there = {
        (plain(route.path), method) for route in routes(server) for method in getattr(route, "methods", None) or ()
    }
    for path, operations in told["paths"].items():
        for method in operations:
            assert (path, method.upper()) in there, f"{method} {path}"


def test_every_socket_is_described(server: Shared) -> None:
    there = {route.path for route in routes(server) if isinstance(route, WebSocketRoute)}
    assert there == {address for address, *_ in SOCKETS}
    found = server.request("GET", "/asyncapi.json").json
    assert found["asyncapi"] == "3.0.0"
    assert {channel["address"] for channel in found["channels"].values()} == there
    check_references(found)


def test_it_holds_together(told: dict[str, Any]) -> None:
    assert told["openapi"] == "3.1.0"
    names = []
    for path, operations in told["paths"].items():
        assert set(operations) <= METHODS
        for operation in operations.values():
            names.append(operation["operationId"])
            inside = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert inside == re.findall(r"\{(\w+)\}", path)
            assert {"4XX", "5XX"} < set(operation["responses"])
            assert all(each["description"] for each in operation["responses"].values())
    assert len(set(names)) == len(names)
    check_references(told)


def check_references(whole: dict[str, Any]) -> None:
    """Every reference leads somewhere, and patterns are ones that JavaScript knows."""

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found: Any = whole
                for step in reference.removeprefix("#/").split("/"):
                    found = found[step]
            if isinstance(pattern := value.get("pattern"), str):
                assert not re.search(r"\\[AZz]|\(\?P", pattern)
                re.compile(pattern)
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(whole)


def test_it_is_told_to_everyone_and_says_nothing_of_this_server() -> None:
    with shared(access_key="canary-" + "x" * 20, models=(Choice("canary"),)) as keyed:
        for name in ("openapi", "asyncapi"):
            answer = keyed.request("GET", f"/{name}.json")
            assert answer.status == 200
            assert b"canary" not in answer.body


def test_the_document_is_the_same_every_time() -> None:
    assert document.document() == document.document()
