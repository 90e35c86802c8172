"""The catalogue of bad input, one row a test, against one `parley up` (tests.badinput.rows)."""

import ast
import contextlib
import json
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.badinput import described, frames
from tests.badinput.place import ORIGIN, Place
from tests.badinput.rows import Row, expand, rows
from tests.badinput.shapes import SHAPES, TEXTUAL
from tests.server.shared import Answer, read_answer

ROOT = Path(__file__).parents[2]
ROWS = list(rows())
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(autouse=True)
def unhurt(parley: Place) -> Iterator[None]:
    """Whatever was sent, the next one is served, and there is nothing to be ashamed of in the log."""
    yield
    assert parley.ask("GET", "/healthz") == {"status": "ok"}
    assert parley.faults() == []


def cases(kind: str) -> pytest.MarkDecorator:
    """The rows of a kind, as parameters."""
    chosen = [row for row in ROWS if getattr(row, kind)]
    return pytest.mark.parametrize("row", chosen, ids=[row.name for row in chosen])


@cases("send")
def test_request(parley: Place, row: Row) -> None:
    method, _, path = row.send.partition(" ")
    body = None if row.body is None else expand(row.body, parley.names, row.encoding)
    headers = {"Host": parley.host, "Connection": "close", **credentials(parley, row)}
    if body is not None:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    answer = transmit(parley, f"{method} {path}", headers | row.headers, body or b"")
    check(row, answer)
    described.check(method, expand(path, parley.names).decode(), answer)


@cases("upgrade")
def test_upgrade(parley: Place, row: Row) -> None:
    headers = UPGRADE | {"Host": parley.host, **credentials(parley, row)} | row.headers
    check(row, transmit(parley, f"GET {row.upgrade}", headers, b""))


@cases("raw")
def test_raw(parley: Place, row: Row) -> None:
    head = expand("\r\n".join([*row.raw, "", ""]), parley.names)
    check(row, send(parley, head + expand(row.body or "", parley.names)))


@cases("frames")
def test_frames(parley: Place, row: Row) -> None:
    path = expand(row.path, parley.names).decode()
    headers = {name: expand(value, parley.names).decode() for name, value in row.headers.items()}
    headers = credentials(parley, row) | headers
    with frames.opened(parley.port, path, headers) as link:
        assert b" 101 " in link.head, link.head
        assert b"extensions" not in link.head.lower(), "none is negotiated"
        link.send(b"".join(frames.written(frame, parley.names) for frame in row.frames), row.chop)
        for answer in row.answers:
            expected, _, payload = answer.partition(" ")
            name, found = link.receive()
            assert name == expected, found
            if name == "text" and payload.startswith("{"):
                assert within(json.loads(expand(payload, parley.names)), json.loads(found)), found
            else:
                assert found == expand(payload, parley.names)
        if row.close:
            assert link.close_code() == row.close
        else:
            link.send(frames.written("ping still here", parley.names))
            assert link.receive() == ("pong", b"still here")


def credentials(parley: Place, row: Row) -> dict[str, str]:
    token = expand(parley.tokens[row.caller], parley.names).decode()
    return {"Authorization": f"Bearer {token}"} if token and "Authorization" not in row.headers else {}


def transmit(parley: Place, line: str, headers: dict[str, str], body: bytes) -> Answer:
    """Send a request; headers that are empty are left out, but for the key, which may be."""
    kept = {name: value for name, value in headers.items() if value or name in ("Idempotency-Key", "Authorization")}
    head = "\r\n".join([f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items()), "", ""])
    return send(parley, expand(head, parley.names) + body)


def send(parley: Place, data: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", parley.port), timeout=30) as link:
        with contextlib.suppress(ConnectionError):  # refused before all of it was read
            link.sendall(data)
        return read_answer(link)


def check(row: Row, answer: Answer) -> None:
    """Compare an answer with what its row says."""
    assert answer.status == row.status, answer.raw[:500]
    assert answer.headers["x-request-id"]
    if row.headers.get("Origin") != ORIGIN:
        assert not [name for name in answer.headers if name == "access-control-allow-origin"]
    if row.status == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="parley"'
    if row.status == 405 and row.shape != "ollama":
        assert answer.headers["allow"]
    if row.status >= 400 or row.code:
        code, param = SHAPES[row.shape](answer)
        assert row.code in code if row.shape in TEXTUAL or not row.code else row.code == code, answer.body
        assert row.param in ("", param), answer.body


def within(expected: Any, found: Any) -> bool:
    """Whether all that is expected is there, however much else is."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(within(value, found.get(name)) for name, value in expected.items())
    return bool(expected == found)


def test_every_row_of_the_notes_is_here() -> None:
    assert {f"B{number:02}" for number in range(1, 87)} <= {row.id for row in ROWS}
    assert {row.id for row in ROWS} <= {*(f"B{number:02}" for number in range(1, 87)), "-"}


def test_every_row_is_one_thing() -> None:
    for row in ROWS:
        kinds = [kind for kind in ("send", "raw", "upgrade", "frames", "told_by") if getattr(row, kind)]
        assert len(kinds) == 1, row
        assert row.told_by or row.frames or row.status, row


@pytest.mark.parametrize("row", [row for row in ROWS if row.told_by], ids=lambda row: row.name)
def test_the_tests_that_tell_a_row_exist(row: Row) -> None:
    for told in row.told_by:
        path, _, name = told.partition("::")
        assert name in functions(ROOT / path), told


@cache
def functions(path: Path) -> set[str]:
    """The names of a file's functions."""
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}
