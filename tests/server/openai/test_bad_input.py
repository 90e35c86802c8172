"""Whatever is sent to /v1, the answer is one of ours, in OpenAI's envelope: a table, one row a test."""

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
IMAGE = "data:image/png;base64,iVBORw0K"
RESPONSES, CHAT, CONVERSATIONS = "/v1/responses", "/v1/chat/completions", "/v1/conversations"
ITEMS = "/v1/conversations/{conversation}/items"
COMPACT, COUNT = "/v1/responses/compact", "/v1/responses/input_tokens"
K = 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(models=(Choice("model"),), default="model", origins=(ORIGIN,)) as made:
        yield made


@pytest.fixture(scope="module")
def conversation(server: Shared) -> str:
    name: str = server.run(server.home.conversation(title="x"))
    return name


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


def chat(**fields: Any) -> bytes:
    """A chat completion's body with one thing wrong."""
    return json.dumps({"model": "model", "messages": [{"role": "user", "content": "hello"}], **fields}).encode()


def item(**fields: Any) -> bytes:
    return ask(input=[{"type": "message", "role": "user", "content": "hello", **fields}])


def message(**fields: Any) -> bytes:
    return chat(messages=[{"role": "user", "content": "hello", **fields}])


def part(**fields: Any) -> bytes:
    return item(content=[fields])


TOOL = {"type": "function", "name": "f", "parameters": {}}
UNKNOWN_CONVERSATION = "conv_00" + "0" * 32
UNKNOWN_RESPONSE = "resp_00" + "0" * 32 + "1" * 16

# path, body, status, code, param
BODIES: list[tuple[str, bytes, int, str, str | None]] = [
    (RESPONSES, b"{", 400, "invalid_json", None),
    (RESPONSES, b"", 400, "invalid_json", None),
    (RESPONSES, b"[]", 400, "invalid_value", None),
    (RESPONSES, b"null", 400, "invalid_value", None),
    (RESPONSES, b"7", 400, "invalid_value", None),
    (RESPONSES, b"[" * 100_000, 400, "too_deep", None),
    (RESPONSES, b'{"model":"model","input":"\\ud800"}', 400, "invalid_text", "input"),
    (RESPONSES, b'{"model":"model","input":"a\\u0000"}', 400, "invalid_text", "input"),
    (RESPONSES, b'{"input":"\xff\xfe"}', 400, "invalid_utf8", None),
    (RESPONSES, b'{"input":"a","input":"b"}', 400, "duplicate_key", None),
    (RESPONSES, b'{"input":"a","temperature":NaN}', 400, "invalid_json", None),
    (RESPONSES, b"{}", 400, "missing_parameter", "input"),
    (RESPONSES, ask(input=None), 400, "missing_parameter", "input"),
    (RESPONSES, ask(input=""), 400, "empty_message", "input"),
    (RESPONSES, ask(input=" \n\t "), 400, "empty_message", "input"),
    (RESPONSES, ask(input=[]), 400, "empty_message", "input"),
    (RESPONSES, ask(input={}), 400, "invalid_value", "input"),
    (RESPONSES, ask(input=0), 400, "invalid_value", "input"),
    (RESPONSES, ask(input=True), 400, "invalid_value", "input"),
    (RESPONSES, ask(input=["hello"]), 400, "invalid_value", "input[0]"),
    (RESPONSES, ask(input=[{}]), 400, "missing_parameter", "input[0].type"),
    (RESPONSES, ask(input=[{"type": "image_generation_call"}]), 400, "unsupported_item", "input[0].type"),
    (RESPONSES, ask(input=[{"role": "user", "content": "x"}] * 2001), 400, "invalid_value", "input"),
    (RESPONSES, ask(input="x" * (256 * K + 1)), 413, "message_too_large", "input"),
    (RESPONSES, ask(input="x" * (1024 * K)), 413, "body_too_large", None),
    (RESPONSES, item(role="robot"), 400, "invalid_value", "input[0].role"),
    (RESPONSES, item(role="tool"), 400, "invalid_value", "input[0].role"),
    (RESPONSES, item(role=1), 400, "invalid_value", "input[0].role"),
    (RESPONSES, item(content=None), 400, "invalid_value", "input[0].content"),
    (RESPONSES, item(content={}), 400, "invalid_value", "input[0].content"),
    (RESPONSES, item(content=[]), 400, "empty_message", "input[0].content"),
    (RESPONSES, item(content=""), 400, "empty_message", "input[0].content"),
    (RESPONSES, item(content=["x"]), 400, "invalid_value", "input[0].content[0]"),
    (RESPONSES, part(), 400, "missing_parameter", "input[0].content[0].type"),
    (RESPONSES, part(type="input_text"), 400, "missing_parameter", "input[0].content[0].text"),
    (RESPONSES, part(type="input_text", text=1), 400, "invalid_value", "input[0].content[0].text"),
    (RESPONSES, part(type="input_image", image_url="http://169.254.169.254/"), 400, "unsupported_content",
     "input[0].content[0].image_url"),
    (RESPONSES, part(type="input_image", image_url="file:///etc/passwd"), 400, "unsupported_content",
     "input[0].content[0].image_url"),
    (RESPONSES, part(type="input_image", image_url="data:text/html;base64,YQ=="), 400, "unsupported_content",
     "input[0].content[0].image_url"),
    (RESPONSES, part(type="input_image", file_id="file-1"), 400, "unsupported_content",
     "input[0].content[0].image_url"),
    (RESPONSES, part(type="input_image", image_url=IMAGE, detail="closely"), 400, "invalid_value",
     "input[0].content[0].detail"),
    (RESPONSES, part(type="input_image", image_url=IMAGE + "A" * 256 * K), 413, "message_too_large",
     "input[0].content"),
    (RESPONSES, item(role="assistant", content=[{"type": "input_image", "image_url": IMAGE}]), 400,
     "unsupported_content", "input[0].content[0].type"),
    (RESPONSES, part(type="input_file", file_url="gopher://x/"), 400, "unsupported_content",
     "input[0].content[0].type"),
    (RESPONSES, ask(input=[{"type": "function_call_output", "output": "x"}]), 400, "missing_parameter",
     "input[0].call_id"),
    (RESPONSES, ask(input=[{"type": "function_call_output", "call_id": "c", "output": 5}]), 400, "invalid_value",
     "input[0].output"),
    (RESPONSES, ask(input=[{"type": "function_call_output", "call_id": "c", "output": "x"}]), 400, "call_not_found",
     "input"),
    (RESPONSES, ask(input=[{"type": "function_call", "call_id": "c", "name": "f"}]), 400, "missing_parameter",
     "input[0].arguments"),
    (RESPONSES, ask(input=[{"type": "item_reference", "id": "msg_x"}]), 400, "item_not_found", "input[0].id"),
    (RESPONSES, ask(input=[{"type": "compaction", "encrypted_content": "!"}]), 400, "invalid_value",
     "input[0].encrypted_content"),
    (RESPONSES, ask(model="other"), 404, "model_not_found", "model"),
    (RESPONSES, ask(model="x" * 10_000), 400, "invalid_value", "model"),
    (RESPONSES, ask(model="a\nb"), 400, "invalid_value", "model"),
    (RESPONSES, ask(model=5), 400, "invalid_value", "model"),
    (RESPONSES, ask(stream="yes"), 400, "invalid_value", "stream"),
    (RESPONSES, ask(background=1), 400, "invalid_value", "background"),
    (RESPONSES, ask(store="no"), 400, "invalid_value", "store"),
    (RESPONSES, ask(background=True, store=False), 400, "invalid_value", "background"),
    (RESPONSES, ask(temperature=-1), 400, "invalid_value", "temperature"),
    (RESPONSES, ask(temperature=3), 400, "invalid_value", "temperature"),
    (RESPONSES, ask(temperature="hot"), 400, "invalid_value", "temperature"),
    (RESPONSES, ask(top_p=1.5), 400, "invalid_value", "top_p"),
    (RESPONSES, ask(max_output_tokens=15), 400, "invalid_value", "max_output_tokens"),
    (RESPONSES, ask(max_output_tokens=10**18), 400, "invalid_value", "max_output_tokens"),
    (RESPONSES, ask(max_tool_calls=0), 400, "invalid_value", "max_tool_calls"),
    (RESPONSES, ask(top_logprobs=21), 400, "invalid_value", "top_logprobs"),
    (RESPONSES, ask(top_logprobs=5), 400, "unsupported_parameter", "top_logprobs"),
    (RESPONSES, ask(prompt={"id": "pmpt_1"}), 400, "unsupported_parameter", "prompt"),
    (RESPONSES, ask(truncation="some"), 400, "invalid_value", "truncation"),
    (RESPONSES, ask(instructions=[]), 400, "invalid_value", "instructions"),
    (RESPONSES, ask(metadata={"a": 1}), 400, "invalid_value", "metadata[...]"),
    (RESPONSES, ask(metadata={str(n): "x" for n in range(17)}), 400, "invalid_value", "metadata"),
    (RESPONSES, ask(metadata={"k" * 65: "x"}), 400, "invalid_value", None),
    (RESPONSES, ask(metadata={"k": "x" * 513}), 400, "invalid_value", "metadata[...]"),
    (RESPONSES, ask(metadata=[]), 400, "invalid_value", "metadata"),
    (RESPONSES, ask(text="json"), 400, "invalid_value", "text"),
    (RESPONSES, ask(text={"format": {}}), 400, "invalid_value", "text.format.type"),
    (RESPONSES, ask(text={"format": {"type": "yaml"}}), 400, "invalid_value", "text.format.type"),
    (RESPONSES, ask(text={"format": {"type": ["text"]}}), 400, "invalid_value", "text.format.type"),
    (RESPONSES, ask(text={"format": {"type": "json_schema"}}), 400, "invalid_value", "text.format"),
    (RESPONSES, ask(text={"format": {"type": "json_schema", "name": "a", "schema": 1}}), 400, "invalid_value",
     "text.format"),
    (RESPONSES, ask(reasoning="hard"), 400, "invalid_value", "reasoning"),
    (RESPONSES, ask(tools={}), 400, "invalid_value", "tools"),
    (RESPONSES, ask(tools=[1]), 400, "invalid_value", "tools[0]"),
    (RESPONSES, ask(tools=[{}]), 400, "missing_parameter", "tools[0].type"),
    (RESPONSES, ask(tools=[{"type": "function"}]), 400, "missing_parameter", "tools[0].name"),
    (RESPONSES, ask(tools=[{"type": "function", "name": "a b"}]), 400, "invalid_value", "tools[0].name"),
    (RESPONSES, ask(tools=[{**TOOL, "parameters": 1}]), 400, "invalid_value", "tools[0].parameters"),
    (RESPONSES, ask(tools=[TOOL] * 129), 400, "invalid_value", "tools"),
    (RESPONSES, ask(tools=[TOOL], tool_choice="some"), 400, "invalid_value", "tool_choice"),
    (RESPONSES, ask(tools=[TOOL], tool_choice={"type": "function", "name": "g"}), 400, "invalid_value", "tool_choice"),
    (RESPONSES, ask(tools=[TOOL], tool_choice={"type": "function", "name": []}), 400, "invalid_value", "tool_choice"),
    (RESPONSES, ask(tools=[TOOL], tool_choice={"type": "allowed_tools", "tools": [1]}), 400, "invalid_value",
     "tool_choice"),
    (RESPONSES, ask(tool_choice=7), 400, "invalid_value", "tool_choice"),
    (RESPONSES, ask(conversation="c", previous_response_id="r"), 400, "mutually_exclusive", "previous_response_id"),
    (RESPONSES, ask(conversation=5), 400, "invalid_value", "conversation"),
    (RESPONSES, ask(conversation={}), 400, "missing_parameter", "conversation.id"),
    (RESPONSES, ask(conversation="x"), 404, "conversation_not_found", "conversation"),
    (RESPONSES, ask(conversation=UNKNOWN_CONVERSATION), 404, "conversation_not_found", "conversation"),
    (RESPONSES, ask(conversation="conv_*"), 404, "conversation_not_found", "conversation"),
    (RESPONSES, ask(previous_response_id="x"), 400, "previous_response_not_found", "previous_response_id"),
    (RESPONSES, ask(previous_response_id=UNKNOWN_RESPONSE), 400, "previous_response_not_found",
     "previous_response_id"),
    (RESPONSES, ask(previous_response_id={}), 400, "invalid_value", "previous_response_id"),
    (RESPONSES, ask(service_tier="gold"), 400, "invalid_value", "service_tier"),
    (RESPONSES, ask(include="x"), 400, "invalid_value", "include"),
    (COMPACT, b"{}", 400, "missing_parameter", "model"),
    (COMPACT, b'{"model":"model"}', 400, "missing_parameter", "input"),
    (COMPACT, b'{"model":"other","input":"x"}', 404, "model_not_found", "model"),
    (COUNT, b"[]", 400, "invalid_value", None),
    (COUNT, b'{"input":5}', 400, "invalid_value", "input"),
    (CHAT, b"{}", 400, "missing_parameter", "messages"),
    (CHAT, chat(messages=[]), 400, "invalid_value", "messages"),
    (CHAT, chat(messages="hello"), 400, "invalid_value", "messages"),
    (CHAT, chat(messages=[{"role": "user", "content": "x"}] * 10_001), 400, "invalid_value", "messages"),
    (CHAT, chat(messages=["hello"]), 400, "invalid_value", "messages[0]"),
    (CHAT, chat(messages=[{"content": "x"}]), 400, "missing_parameter", "messages[0].role"),
    (CHAT, message(role="robot"), 400, "invalid_value", "messages[0].role"),
    (CHAT, message(content=None), 400, "missing_parameter", "messages[0].content"),
    (CHAT, message(content=5), 400, "invalid_value", "messages[0].content"),
    (CHAT, message(content=" "), 400, "empty_message", "messages[0].content"),
    (CHAT, message(role="tool"), 400, "missing_parameter", "messages[0].tool_call_id"),
    (CHAT, message(role="assistant", tool_calls=[{}]), 400, "missing_parameter", "messages[0].tool_calls[0].id"),
    (CHAT, message(content=[{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]), 400,
     "unsupported_content", "messages[0].content[0].image_url.url"),
    (CHAT, message(content=[{"type": "image_url", "image_url": "http://169.254.169.254/"}]), 400,
     "invalid_value", "messages[0].content[0].image_url"),
    (CHAT, chat(model="other"), 404, "model_not_found", "model"),
    (CHAT, chat(n=2), 400, "unsupported_parameter", "n"),
    (CHAT, chat(n=0), 400, "invalid_value", "n"),
    (CHAT, chat(logprobs=True), 400, "unsupported_parameter", "logprobs"),
    (CHAT, chat(max_tokens=0), 400, "invalid_value", "max_tokens"),
    (CHAT, chat(max_tokens=-5), 400, "invalid_value", "max_tokens"),
    (CHAT, chat(stop=5), 400, "invalid_value", "stop"),
    (CHAT, chat(stop=[""]), 400, "invalid_value", "stop[0]"),
    (CHAT, chat(seed=10**20), 400, "invalid_value", "seed"),
    (CHAT, chat(response_format={"type": "xml"}), 400, "invalid_value", "response_format.type"),
    (CHAT, chat(tools=[{"type": "function", "name": "f"}]), 400, "missing_parameter", "tools[0].function"),
    (CHAT, chat(stream_options="all"), 400, "invalid_value", "stream_options"),
    (CONVERSATIONS, b"[]", 400, "invalid_value", None),
    (CONVERSATIONS, b'{"metadata":{"a":1}}', 400, "invalid_value", "metadata[...]"),
    (CONVERSATIONS, json.dumps({"items": [{"role": "user", "content": "x"}] * 21}).encode(), 400, "invalid_value",
     "items"),
    (CONVERSATIONS, b'{"items":[{"role":"user"}]}', 400, "missing_parameter", "items[0].content"),
    (ITEMS, b'{"items":[]}', 400, "invalid_value", "items"),
    (ITEMS, b"{}", 400, "missing_parameter", "items"),
    (ITEMS, b'{"items":[{"role":"user","content":""}]}', 400, "empty_message", "items[0].content"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "code", "param"), BODIES)
def test_bodies(
    server: Shared, conversation: str, path: str, body: bytes, status: int, code: str, param: str | None
) -> None:
    answer = server.request("POST", path.format(conversation=conversation), body)
    error = envelope(answer)
    assert (answer.status, error["code"], error["param"]) == (status, code, param), error


# method, path, headers, status, code
REQUESTS: list[tuple[str, str, dict[str, str], int, str]] = [
    ("GET", "/v1/nothing", {}, 404, "not_found"),
    ("GET", "/v1", {}, 404, "not_found"),
    ("GET", RESPONSES, {}, 405, "method_not_allowed"),
    ("PUT", "/v1/models", {}, 405, "method_not_allowed"),
    ("GET", CHAT, {}, 405, "method_not_allowed"),
    ("GET", "/v1/models/none", {}, 404, "model_not_found"),
    ("GET", "/v1/responses/x", {}, 404, "response_not_found"),
    ("GET", "/v1/responses/resp_%2A", {}, 404, "response_not_found"),
    ("GET", f"/v1/responses/{UNKNOWN_RESPONSE}", {}, 404, "response_not_found"),
    ("GET", f"/v1/responses/{UNKNOWN_RESPONSE}?stream=true", {}, 404, "response_not_found"),
    ("DELETE", f"/v1/responses/{UNKNOWN_RESPONSE}", {}, 404, "response_not_found"),
    ("POST", f"/v1/responses/{UNKNOWN_RESPONSE}/cancel", {}, 404, "response_not_found"),
    ("GET", f"/v1/responses/{UNKNOWN_RESPONSE}/input_items", {}, 404, "response_not_found"),
    ("GET", "/v1/responses/{response}?stream=yes", {}, 400, "invalid_value"),
    ("GET", "/v1/responses/{response}?stream=true&starting_after=-1", {}, 400, "invalid_value"),
    ("GET", "/v1/responses/{response}?stream=true&starting_after=x", {}, 400, "invalid_value"),
    ("GET", "/v1/responses/{response}?stream=true&starting_after=9999999999", {}, 400, "invalid_value"),
    ("GET", "/v1/responses/{response}/input_items?limit=0", {}, 400, "invalid_value"),
    ("GET", "/v1/responses/{response}/input_items?limit=101", {}, 400, "invalid_value"),
    ("GET", "/v1/responses/{response}/input_items?order=up", {}, 400, "invalid_value"),
    ("GET", "/v1/responses/{response}/input_items?after=msg_x", {}, 400, "invalid_value"),
    ("POST", "/v1/responses/{response}/cancel", {}, 400, "response_not_background"),
    ("GET", "/v1/conversations/x", {}, 404, "conversation_not_found"),
    ("GET", f"/v1/conversations/{UNKNOWN_CONVERSATION}", {}, 404, "conversation_not_found"),
    ("DELETE", f"/v1/conversations/{UNKNOWN_CONVERSATION}", {}, 404, "conversation_not_found"),
    ("GET", f"/v1/conversations/{UNKNOWN_CONVERSATION}/items", {}, 404, "conversation_not_found"),
    ("GET", ITEMS + "?limit=-1", {}, 400, "invalid_value"),
    ("GET", ITEMS + "?limit=1e9", {}, 400, "invalid_value"),
    ("GET", ITEMS + "?after=msg_x", {}, 400, "invalid_value"),
    ("GET", ITEMS + "?after=msg_00" + "0" * 52, {}, 400, "invalid_value"),
    ("GET", ITEMS + "/msg_x", {}, 404, "item_not_found"),
    ("DELETE", ITEMS + "/msg_x", {}, 404, "item_not_found"),
    ("POST", RESPONSES, {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    ("POST", RESPONSES, {"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
    ("POST", RESPONSES, {"Idempotency-Key": "x" * 256}, 400, "invalid_idempotency_key"),
    ("POST", RESPONSES, {"Idempotency-Key": "a b"}, 400, "invalid_idempotency_key"),
    ("POST", RESPONSES, {"Origin": "https://other.example"}, 403, "origin_not_allowed"),
    ("POST", RESPONSES, {"Host": "other.example"}, 421, "unknown_host"),
]


@pytest.fixture(scope="module")
def response(server: Shared, conversation: str) -> str:
    said: dict[str, Any] = server.run(server.home.say(conversation, "hello"))
    server.run(server.home.answer("hi"))
    name: str = said["response"]
    return name


@pytest.mark.parametrize(("method", "path", "headers", "status", "code"), REQUESTS)
def test_requests(
    server: Shared, conversation: str, response: str, method: str, path: str, headers: dict[str, str],
    status: int, code: str,
) -> None:  # fmt: skip
    body = ask() if method == "POST" and not path.endswith("cancel") else None
    answer = server.request(method, path.format(conversation=conversation, response=response), body, headers)
    assert (answer.status, envelope(answer)["code"]) == (status, code)


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
