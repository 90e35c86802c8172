"""Whatever is sent to /ai/chat and /agui, the answer is one of ours, in the envelope: a table, one row a test."""

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
UNKNOWN = "conv_00" + "0" * 32


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


def ui(**fields: Any) -> bytes:
    return chat(messages=[{"id": "u", "role": "user", "parts": [TEXT], **fields}])


def part(**fields: Any) -> bytes:
    return ui(parts=[fields])


def agui(**fields: Any) -> bytes:
    """A run's input with one thing wrong."""
    message = {"id": "u", "role": "user", "content": "hello"}
    return json.dumps({"threadId": "bad", "runId": "r", "messages": [message], **fields}).encode()


def said(**fields: Any) -> bytes:
    return agui(messages=[{"id": "u", "role": "user", "content": "hello", **fields}])


TEXT = {"type": "text", "text": "hello"}
TOOL = {"name": "f", "parameters": {}}
URL = "http://169.254.169.254/a.png"
LONG = "x" * 256

# path, body, status, code, param
BODIES: list[tuple[str, bytes, int, str, str | None]] = [
    (CHAT, b"{", 400, "invalid_json", None),
    (CHAT, b"", 400, "invalid_json", None),
    (CHAT, b"[]", 400, "invalid_value", None),
    (CHAT, b"null", 400, "invalid_value", None),
    (CHAT, b"{}", 400, "missing_parameter", "id"),
    (CHAT, b'{"id":"a"}', 400, "missing_parameter", "messages"),
    (CHAT, b'{"id":"a","id":"b","messages":[]}', 400, "duplicate_key", None),
    (CHAT, b'"\xff"', 400, "invalid_utf8", None),
    (CHAT, b"[" * 100_000, 400, "too_deep", None),
    (CHAT, chat(id=5), 400, "invalid_value", "id"),
    (CHAT, chat(id=""), 400, "invalid_value", "id"),
    (CHAT, chat(id="a b"), 400, "invalid_value", "id"),
    (CHAT, chat(id="à"), 400, "invalid_value", "id"),
    (CHAT, chat(id=LONG), 400, "invalid_value", "id"),
    (CHAT, chat(id=UNKNOWN), 404, "conversation_not_found", None),
    (CHAT, chat(messages=[]), 400, "invalid_value", "messages"),
    (CHAT, chat(messages={}), 400, "invalid_value", "messages"),
    (CHAT, chat(messages=["hello"]), 400, "invalid_value", "messages[0]"),
    (CHAT, chat(messages=[{"role": "user", "parts": []}]), 400, "missing_parameter", "messages[0].id"),
    (CHAT, chat(messages=[{"id": "u", "role": "user", "content": "hi"}]), 400, "missing_parameter",
     "messages[0].parts"),
    (CHAT, chat(messages=None, message="hello"), 400, "invalid_value", "message"),
    (CHAT, ui(id=""), 400, "invalid_value", "messages[0].id"),
    (CHAT, ui(id=LONG), 400, "invalid_value", "messages[0].id"),
    (CHAT, ui(id=5), 400, "invalid_value", "messages[0].id"),
    (CHAT, ui(role="robot"), 400, "invalid_value", "messages[0].role"),
    (CHAT, ui(role="tool"), 400, "invalid_value", "messages[0].role"),
    (CHAT, ui(parts="hello"), 400, "invalid_value", "messages[0].parts"),
    (CHAT, ui(parts=[]), 400, "empty_message", "messages[0]"),
    (CHAT, ui(parts=[{"type": "data-place", "data": 1}]), 400, "empty_message", "messages[0]"),
    (CHAT, ui(parts=["hello"]), 400, "invalid_value", "messages[0].parts[0]"),
    (CHAT, part(), 400, "missing_parameter", "messages[0].parts[0].type"),
    (CHAT, part(type=5), 400, "invalid_value", "messages[0].parts[0].type"),
    (CHAT, part(type="hologram"), 400, "unsupported_content", "messages[0].parts[0].type"),
    (CHAT, part(type="text"), 400, "missing_parameter", "messages[0].parts[0].text"),
    (CHAT, part(type="text", text=5), 400, "invalid_value", "messages[0].parts[0].text"),
    (CHAT, part(type="text", text=" \n"), 400, "empty_message", "messages[0]"),
    (CHAT, part(type="text", text="a\0b"), 400, "invalid_text", "messages[0].parts[0].text"),
    (CHAT, part(type="text", text="x" * (256 * K + 1)), 413, "message_too_large", "messages[0]"),
    (CHAT, part(type="file", mediaType="image/png", url=URL), 400, "unsupported_content", "messages[0].parts[0].url"),
    (CHAT, part(type="file", mediaType="text/plain", url="data:text/plain;base64,YQ=="), 400, "unsupported_content",
     "messages[0].parts[0].url"),
    (CHAT, part(type="file"), 400, "missing_parameter", "messages[0].parts[0].url"),
    (CHAT, ui(role="assistant"), 400, "nothing_new", "messages"),
    (CHAT, ui(role="assistant", parts=[{"type": "tool-f"}]), 400, "missing_parameter",
     "messages[0].parts[0].toolCallId"),
    (CHAT, ui(role="assistant", parts=[{"type": "dynamic-tool", "toolCallId": "c", "state": 7}]), 400,
     "invalid_value", "messages[0].parts[0].state"),
    (CHAT, chat(trigger="resume"), 400, "invalid_value", "trigger"),
    (CHAT, chat(messageId=5), 400, "invalid_value", "messageId"),
    (CHAT, chat(model=5), 400, "invalid_value", "model"),
    (CHAT, chat(model="other"), 404, "model_not_found", "model"),
    (CHAT, chat(assistant="other"), 404, "assistant_not_found", "assistant"),
    (CHAT, chat(tools={}), 400, "invalid_value", "tools"),
    (CHAT, chat(tools=[1]), 400, "invalid_value", "tools[0]"),
    (CHAT, chat(tools=[{}]), 400, "missing_parameter", "tools[0].name"),
    (CHAT, chat(tools=[{"name": "a b"}]), 400, "invalid_value", "tools[0].name"),
    (CHAT, chat(tools=[{**TOOL, "parameters": 1}]), 400, "invalid_value", "tools[0].parameters"),
    (CHAT, chat(tools=[TOOL] * 129), 400, "invalid_value", "tools"),
    (CHAT + "/bad/stop", b"[]", 400, "invalid_value", None),
    (CHAT + "/bad/stop", b'{"activeStreamId":5}', 400, "invalid_value", "activeStreamId"),
    (CHAT + f"/{UNKNOWN}/stop", b"{}", 404, "conversation_not_found", None),
    (CHAT + "/a%20b/stop", b"{}", 400, "invalid_value", "id"),
    (AGUI, b"{", 400, "invalid_json", None),
    (AGUI, b"[]", 400, "invalid_value", None),
    (AGUI, b"{}", 400, "missing_parameter", "threadId"),
    (AGUI, b'{"threadId":"a"}', 400, "missing_parameter", "runId"),
    (AGUI, b'{"threadId":"a","runId":"b"}', 400, "missing_parameter", "messages"),
    (AGUI, agui(threadId=""), 400, "invalid_value", "threadId"),
    (AGUI, agui(threadId="a b"), 400, "invalid_value", "threadId"),
    (AGUI, agui(threadId=LONG), 400, "invalid_value", "threadId"),
    (AGUI, agui(threadId=UNKNOWN), 404, "conversation_not_found", None),
    (AGUI, agui(runId=""), 400, "invalid_value", "runId"),
    (AGUI, agui(runId=LONG), 400, "invalid_value", "runId"),
    (AGUI, agui(runId=[]), 400, "invalid_value", "runId"),
    (AGUI, agui(messages=[]), 400, "invalid_value", "messages"),
    (AGUI, agui(messages="hello"), 400, "invalid_value", "messages"),
    (AGUI, agui(messages=[5]), 400, "invalid_value", "messages[0]"),
    (AGUI, said(id=None), 400, "invalid_value", "messages[0].id"),
    (AGUI, said(role="robot"), 400, "invalid_value", "messages[0].role"),
    (AGUI, said(content=None), 400, "missing_parameter", "messages[0].content"),
    (AGUI, said(content=5), 400, "invalid_value", "messages[0].content"),
    (AGUI, said(content=" "), 400, "empty_message", "messages[0]"),
    (AGUI, said(content=[]), 400, "empty_message", "messages[0]"),
    (AGUI, said(content=[5]), 400, "invalid_value", "messages[0].content[0]"),
    (AGUI, said(content=[{"type": "text"}]), 400, "missing_parameter", "messages[0].content[0].text"),
    (AGUI, said(content=[{"type": "audio", "source": {}}]), 400, "unsupported_content",
     "messages[0].content[0].type"),
    (AGUI, said(content=[{"type": "binary", "mimeType": "image/png", "url": URL}]), 400, "unsupported_content",
     "messages[0].content[0].type"),
    (AGUI, said(content=[{"type": "image"}]), 400, "missing_parameter", "messages[0].content[0].source"),
    (AGUI, said(content=[{"type": "image", "source": {"type": "url", "value": URL}}]), 400, "unsupported_content",
     "messages[0].content[0].source"),
    (AGUI, said(content="x" * (256 * K + 1)), 413, "message_too_large", "messages[0]"),
    (AGUI, said(role="tool"), 400, "missing_parameter", "messages[0].toolCallId"),
    (AGUI, said(role="tool", toolCallId="c"), 400, "tool_call_not_found", "messages"),
    (AGUI, said(role="assistant", toolCalls=[{}]), 400, "missing_parameter", "messages[0].toolCalls[0].id"),
    (AGUI, said(role="assistant", content=[{"type": "image", "source": {"type": "url", "value": URL}}]), 400,
     "unsupported_content", "messages[0].content[0].type"),
    (AGUI, said(role="reasoning"), 400, "nothing_new", "messages"),
    (AGUI, agui(tools=[{"description": "x"}]), 400, "missing_parameter", "tools[0].name"),
    (AGUI, agui(tools="x"), 400, "invalid_value", "tools"),
    (AGUI, agui(forwardedProps={"model": 5}), 400, "invalid_value", "forwardedProps.model"),
    (AGUI, agui(forwardedProps={"model": "other"}), 404, "model_not_found", "model"),
    (AGUI, agui(forwardedProps={"assistant": "other"}), 404, "assistant_not_found", "assistant"),
    (AGUI, agui(resume=[{"interruptId": "i", "status": "resolved"}]), 400, "unsupported_parameter", "resume"),
    (AGUI, agui(resume={}), 400, "invalid_value", "resume"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "code", "param"), BODIES)
def test_bodies(server: Shared, path: str, body: bytes, status: int, code: str, param: str | None) -> None:
    answer = server.request("POST", path, body)
    error = envelope(answer)
    assert (answer.status, error["code"], error["param"]) == (status, code, param), error


# method, path, headers, status, code
REQUESTS: list[tuple[str, str, dict[str, str], int, str]] = [
    ("GET", CHAT, {}, 405, "method_not_allowed"),
    ("GET", AGUI, {}, 405, "method_not_allowed"),
    ("PUT", CHAT, {}, 405, "method_not_allowed"),
    ("POST", "/ai/chat/a/stream", {}, 405, "method_not_allowed"),
    ("GET", "/ai/chat/a", {}, 404, "not_found"),
    ("GET", "/ai", {}, 404, "not_found"),
    ("GET", f"/ai/chat/{UNKNOWN}/stream", {}, 404, "conversation_not_found"),
    ("GET", f"/ai/chat/{UNKNOWN}/messages", {}, 404, "conversation_not_found"),
    ("DELETE", f"/ai/chat/{UNKNOWN}/stream", {}, 404, "conversation_not_found"),
    ("GET", "/ai/chat/a%00b/stream", {}, 400, "invalid_value"),
    ("GET", f"/ai/chat/{LONG}/messages", {}, 400, "invalid_value"),
    ("GET", "/ai/chat/a/messages?turns=0", {}, 400, "invalid_value"),
    ("GET", "/ai/chat/a/messages?turns=x", {}, 400, "invalid_value"),
    ("GET", "/ai/chat/a/messages", {"Authorization": "Bearer tt_" + "x" * 43}, 401, "not_authenticated"),
    ("GET", "/ai/chat/a/messages", {"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
]


@pytest.mark.parametrize(("method", "path", "headers", "status", "code"), REQUESTS)
def test_requests(server: Shared, method: str, path: str, headers: dict[str, str], status: int, code: str) -> None:
    answer = server.request(method, path, headers=headers)
    assert (answer.status, envelope(answer)["code"]) == (status, code)


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
