"""Whatever is sent to /v1, the answer is one of ours, in OpenAI's envelope. The table: tests/badinput."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parley.server.config import Choice
from parley.server.lookup import Lookup
from tests.server.shared import Answer, Shared, shared

ORIGIN = "https://app.example"
RESPONSES, CHAT, CONVERSATIONS = "/v1/responses", "/v1/chat/completions", "/v1/conversations"
COMPACT, COUNT = "/v1/responses/compact", "/v1/responses/input_tokens"


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(models=(Choice("model"),), default="model", origins=(ORIGIN,)) as made:
        yield made


def envelope(answer: Answer) -> dict[str, Any]:
    """The error of an answer, checked for its form."""
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["error"]
    error: dict[str, Any] = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert isinstance(error["type"], str)
    assert isinstance(error["code"], str)
    return error


def ask(**fields: Any) -> bytes:
    """A response's body with one thing wrong."""
    return json.dumps({"model": "model", "input": "hello", **fields}).encode()


def item(**fields: Any) -> bytes:
    return ask(input=[{"type": "message", "role": "user", "content": "hello", **fields}])


UNKNOWN_RESPONSE = "resp_00" + "0" * 32 + "1" * 16


def test_fields_nobody_knows_are_ignored(server: Shared) -> None:
    body = ask(client_metadata={"a": 1}, base_url="http://evil", include_obfuscation=False, background=True)
    assert server.request("POST", RESPONSES, body).status == 200


def test_a_session_speaks_as_user_only_and_sees_its_own() -> None:
    with shared(models=(Choice("model"),), access_key="key-" + "x" * 20) as server:
        owner = {"Authorization": "Bearer key-" + "x" * 20}
        assert envelope(server.request("GET", "/v1/models"))["type"] == "authentication_error"
        made = server.request("POST", "/api/sessions", b'{"name":"Ada"}', owner)
        ada = {"Authorization": "Bearer " + made.json["token"]}
        for body, param in [
            (item(role="system"), "input[0].content"),
            (item(role="assistant"), "input[0].content"),
            (ask(input=[{"type": "function_call_output", "call_id": "c", "output": "x"}]), "input[0].output"),
        ]:
            error = envelope(server.request("POST", RESPONSES, body, ada))
            assert (error["code"], error["param"]) == ("role_not_allowed", param)
        hers = server.request("POST", RESPONSES, ask(background=True), ada).json["id"]
        assert server.request("GET", f"/v1/responses/{hers}", None, ada).status == 200
        foreign = server.request("GET", f"/v1/responses/{hers}", None, owner)
        unknown = server.request("GET", f"/v1/responses/{UNKNOWN_RESPONSE}", None, owner)
        assert (foreign.status, foreign.body) == (unknown.status, unknown.body) == (404, foreign.body)
        behind = server.request("POST", RESPONSES, ask(previous_response_id=hers), owner)
        assert (behind.status, behind.code) == (400, "previous_response_not_found")


def test_sdks_in_browsers_may_speak_from_allowed_origins(server: Shared) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-arch,x-stainless-runtime-version",
    }
    preflight = server.request("OPTIONS", RESPONSES, None, asked)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    allowed = preflight.headers["access-control-allow-headers"]
    assert "x-stainless-runtime-version" in allowed
    for path, body, status in [
        ("/v1/models", None, 200),
        ("/v1/nothing", None, 404),
        ("/v1/responses", b"{", 400),
    ]:
        method = "GET" if body is None else "POST"
        answer = server.request(method, path, body, {"Origin": ORIGIN})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_our_own_fault_is_told_too(server: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Lookup, "response", fail)
    answer = server.request("GET", f"/v1/responses/{UNKNOWN_RESPONSE}", None, {"Origin": ORIGIN})
    assert (answer.status, envelope(answer)["code"]) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["access-control-allow-origin"] == ORIGIN


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["type", "role", "content", "text", "id", "name", "function", "tools", "format", "call_id", "output", "schema"]
    ), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
FIELDS = [
    *("model", "input", "messages", "instructions", "stream", "store", "background", "conversation", "metadata"),
    *("previous_response_id", "tools", "tool_choice", "text", "reasoning", "response_format", "items", "stop"),
]


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    path=st.sampled_from([RESPONSES, CHAT, CONVERSATIONS, COMPACT, COUNT]),
    fields=st.dictionaries(st.sampled_from(FIELDS), values, max_size=6),
)
def test_no_body_is_our_fault(server: Shared, path: str, fields: dict[str, Any]) -> None:
    """Nobody answers here, so whatever would be accepted is asked for in the background."""
    body = {**fields, "background": True, "stream": False} if path == RESPONSES else fields
    if path in (CHAT, COMPACT):
        body["model"] = "nobody"  # what is right is refused in the end
    answer = server.request("POST", path, json.dumps(body).encode())
    assert answer.status in (200, 400, 404)
    if answer.status != 200:
        envelope(answer)
