"""What a server answers when it will not, and what a client is told."""

import json

import pytest

from parley.client.errors import (
    Busy,
    Conflict,
    Error,
    InvalidRequest,
    NotAllowed,
    NotFound,
    ServerFault,
    Unreachable,
)
from parley.client.http import refusal


def envelope(kind: str, message: str = "Because.") -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "code": "c", "param": "p"}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (404, envelope("not_found_error"), NotFound, "Because."),
        (410, envelope("not_found_error"), NotFound, "Because."),
        (409, envelope("conflict_error"), Conflict, "Because."),
        (429, envelope("rate_limit_error"), Busy, "Wait a moment"),
        (413, envelope("invalid_request_error"), InvalidRequest, "Because."),
        (401, envelope("authentication_error"), NotAllowed, "PARLEY_TOKEN"),
        (503, envelope("service_unavailable"), Unreachable, "Try again"),
        (500, envelope("server_error", ""), ServerFault, "log"),
        (502, b"<html>Bad gateway</html>", Unreachable, "502"),
        (401, b"", NotAllowed, "token"),
        (500, b"\xff", ServerFault, "500"),
        (404, b"[]", InvalidRequest, "no Parley server"),
        (302, b'{"error": 7}', InvalidRequest, "no Parley server"),
        (400, b'{"error": {"message": 1}}', InvalidRequest, "no Parley server"),
    ],
)
def test_every_answer_is_an_error_that_says_what_to_do(status: int, body: bytes, error: type[Error], said: str) -> None:
    told = refusal(status, body, "7")
    assert type(told) is error
    assert said in told.message


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, None), ("soon", None), ("-1", None)])
def test_the_time_to_come_back_is_kept(header: str | None, seconds: float | None) -> None:
    assert refusal(503, b"", header).retry_after == seconds
