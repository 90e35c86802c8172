"""Whatever is sent to /ai/chat and /agui, the answer is one of ours, in the envelope. The table: tests/badinput."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parley.server.config import Choice
from tests.server.shared import Answer, Shared, shared

ORIGIN = "https://app.example"
CHAT, AGUI = "/ai/chat", "/agui"
K = 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(models=(Choice("model"),), default="model", origins=(ORIGIN,)) as made:
        yield made


def envelope(answer: Answer) -> dict[str, Any]:
    """The error of an answer, checked for its form."""
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert all(isinstance(error[name], str) for name in ("message", "type", "code"))
    return error


def chat(**fields: Any) -> bytes:
    """A chat's body with one thing wrong."""
    return json.dumps({"id": "bad", "messages": [{"id": "u", "role": "user", "parts": [TEXT]}], **fields}).encode()


TEXT = {"type": "text", "text": "hello"}


@pytest.mark.parametrize("path", [CHAT, AGUI])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
        ({"Content-Length": str(2 * K * K)}, 413, "body_too_large"),
    ],
)
def test_heads(server: Shared, path: str, headers: dict[str, str], status: int, code: str) -> None:
    answer = server.request("POST", path, b"{}", headers)
    assert (answer.status, envelope(answer)["code"]) == (status, code)


def test_an_idempotency_key_that_is_none(server: Shared) -> None:
    answer = server.request("POST", CHAT, chat(), {"Idempotency-Key": "a b"})
    assert (answer.status, envelope(answer)["code"]) == (400, "invalid_idempotency_key")


@pytest.mark.parametrize(("path", "method"), [(CHAT, "POST"), (AGUI, "POST"), ("/ai/chat/a/stream", "DELETE")])
def test_pages_of_allowed_origins_may_speak(server: Shared, path: str, method: str) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,user-agent",
    }
    preflight = server.request("OPTIONS", path, headers=asked)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert method in preflight.headers["access-control-allow-methods"]
    refused = server.request(method, path, b"[]", {"Origin": ORIGIN})
    assert refused.headers["access-control-allow-origin"] == ORIGIN


def test_a_look_at_the_head_of_a_stream(server: Shared) -> None:
    assert server.request("HEAD", "/ai/chat/never/stream").status == 204
    nothing = server.request("GET", "/ai/chat/never/stream")
    assert (nothing.status, nothing.body) == (204, b"")
    assert server.request("GET", "/ai/chat/never/messages").json == []


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["id", "messages", "message", "trigger", "messageId", "tools", "threadId", "runId", "resume"]
INNER = ["id", "role", "parts", "content", "metadata", "toolCalls", "toolCallId", "type", "text", "url", "source"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([CHAT, AGUI]),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=4),
    st.dictionaries(st.sampled_from(INNER), values, max_size=4),
)
def test_noise_is_refused_and_never_our_fault(
    server: Shared, path: str, fields: dict[str, Any], inner: dict[str, Any]
) -> None:
    message = {"id": "u", "role": "assistant", "parts": [{"type": "tool-f", **inner}], **inner}
    nobody = {"model": "nobody"}  # what is right is refused in the end
    body = {"id": "noise", "threadId": "noise", "runId": "r", "messages": [message], **fields, **nobody}
    body["forwardedProps"] = nobody
    answer = server.request("POST", path, json.dumps(body).encode())
    assert 400 <= answer.status < 500, answer.raw
    envelope(answer)
