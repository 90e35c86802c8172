"""Whatever is sent, the answer is one of ours: a table, one row a test (B01 to B78 of the bad-input catalogue)."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.shared import Answer, Shared, read_answer, shared


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(session_connections=5) as made:
        yield made


@pytest.fixture(scope="module")
def conversation(server: Shared) -> str:
    name: str = server.run(server.home.conversation(title="x"))
    return name


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


K = 1024
SAY = "/turns"
PIXEL = "data:image/png;base64,iVBORw0KGgo"

# id, path behind the conversation's, body, status, code, param
BODIES: list[tuple[str, str, bytes, int, str, str | None]] = [
    ("B01 cut off", SAY, b"{", 400, "invalid_json", None),
    ("B02 empty", SAY, b"", 400, "invalid_json", None),
    ("B03 deep lists", SAY, b"[" * 100_000, 400, "too_deep", None),
    ("B04 deep objects", SAY, b'{"a":' * 50_000, 400, "too_deep", None),
    ("B04 32 levels", SAY, b'{"input":' + b"[" * 32 + b"]" * 32 + b"}", 400, "too_deep", None),
    ("B05 lone surrogate", SAY, b'{"input":"\\ud800"}', 400, "invalid_text", "input"),
    ("B05 in content", SAY, b'{"input":[{"content":"\\udfff"}]}', 400, "invalid_text", "input[0].content"),
    ("B06 bad bytes", SAY, b'{"input":"\xff\xfe"}', 400, "invalid_utf8", None),
    ("B06 encoded surrogate", SAY, b'{"input":"\xed\xa0\x80"}', 400, "invalid_utf8", None),
    ("B07 UTF-16", SAY, '{"input":"x"}'.encode("utf-16"), 415, "unsupported_charset", None),
    ("B07 UTF-16 without mark", SAY, '{"input":"x"}'.encode("utf-16-le"), 400, "invalid_json", None),
    ("B08 NUL escaped", SAY, b'{"input":"a\\u0000b"}', 400, "invalid_text", "input"),
    ("B08 NUL raw", SAY, b'{"input":"a\0b"}', 400, "invalid_json", None),
    ("B09 1e999", SAY, b'{"input":"x","parameters":{"temperature":1e999}}', 400, "invalid_json", None),
    ("B09 NaN", SAY, b'{"input":NaN}', 400, "invalid_json", None),
    ("B09 Infinity", SAY, b'{"input":"x","parameters":{"top_p":-Infinity}}', 400, "invalid_json", None),
    ("B10 long integer", SAY, b'{"input":"x","parameters":{"seed":%s}}' % (b"9" * 5000), 400, "invalid_json", None),
    ("B10 big integer", SAY, b'{"input":"x","parameters":{"seed":%s}}' % (b"9" * 400), 400, "invalid_value",
     "parameters.seed"),
    ("B11 key twice", SAY, b'{"input":"a","input":"b"}', 400, "duplicate_key", None),
    ("B11 twice inside", SAY, b'{"input":[{"content":"a","content":"b"}]}', 400, "duplicate_key", None),
    ("B25 unknown role", SAY, body(input=[{"role": "robot", "content": "x"}]), 400, "invalid_value", "input[0].role"),
    ("B25 role a number", SAY, body(input=[{"role": 1, "content": "x"}]), 400, "invalid_value", "input[0].role"),
    ("B26 content null", SAY, body(input=[{"content": None}]), 400, "invalid_value", "input[0].content"),
    ("B26 content object", SAY, body(input=[{"content": {}}]), 400, "invalid_value", "input[0].content"),
    ("B26 content list", SAY, body(input=[{"content": []}]), 400, "invalid_value", "input[0].content"),
    ("B26 input null", SAY, body(input=None), 400, "invalid_value", "input"),
    ("B26 input number", SAY, body(input=0), 400, "invalid_value", "input"),
    ("B26 input true", SAY, body(input=True), 400, "invalid_value", "input"),
    ("B26 input object", SAY, body(input={}), 400, "invalid_value", "input"),
    ("B26 input missing", SAY, body(), 400, "missing_parameter", "input"),
    ("B27 empty", SAY, body(input=""), 400, "empty_message", "input"),
    ("B27 white space", SAY, body(input=" \n\t\u2003"), 400, "empty_message", "input"),
    ("B27 empty content", SAY, body(input=[{"content": "a"}, {"content": " "}]), 400, "empty_message",
     "input[1].content"),
    ("B28 too long", SAY, body(input="x" * (256 * K + 1)), 413, "message_too_large", "input"),
    ("B28 too long in all", SAY, body(input=[{"content": "x" * 200 * K}] * 2), 413, "message_too_large", "input"),
    ("B30 unknown field", SAY, body(input="x", foo=1), 400, "unknown_parameter", "foo"),
    ("B30 unknown inside", SAY, body(input=[{"content": "x", "foo": 1}]), 400, "unknown_parameter", "input[0].foo"),
    ("B31 stream", SAY, body(input="x", stream="yes"), 400, "unknown_parameter", "stream"),
    ("B31 n", SAY, body(input="x", parameters={"n": 1000}), 400, "unknown_parameter", "parameters.n"),
    *(
        (f"B31 {name}={value!r}", SAY, body(input="x", parameters={name: value}), 400, "invalid_value",
         f"parameters.{name}")
        for name, value in [
            ("temperature", -1), ("temperature", 3), ("temperature", "hot"), ("temperature", True), ("top_p", 1.5),
            ("max_tokens", 0), ("max_tokens", -5), ("max_tokens", 10**18), ("max_tokens", 1.5), ("stop", 5),
            ("presence_penalty", 9), ("frequency_penalty", -9),
        ]
    ),
    ("B31 stop too many", SAY, body(input="x", parameters={"stop": ["a"] * 9}), 400, "invalid_value",
     "parameters.stop"),
    ("B31 stop empty", SAY, body(input="x", parameters={"stop": [""]}), 400, "invalid_value", "parameters.stop[0]"),
    ("B32 model too long", SAY, body(input="x", model="m" * 10 * K), 400, "invalid_value", "model"),
    ("B32 model with newline", SAY, body(input="x", model="m\n"), 400, "invalid_value", "model"),
    ("B32 model a number", SAY, body(input="x", model=5), 400, "invalid_value", "model"),
    ("B32 assistant unknown", SAY, body(input="x", assistant="nobody"), 404, "assistant_not_found", "assistant"),
    ("B33 base_url", SAY, body(input="x", base_url="http://10.0.0.1"), 400, "unknown_parameter", "base_url"),
    ("B33 api_key", SAY, body(input="x", api_key="k"), 400, "unknown_parameter", "api_key"),
    ("B34 many items", SAY, body(input=[{"content": "x"}] * 10_001), 400, "invalid_value", "input"),
    ("B28 an image too large", SAY, body(input=[{"content": "a", "images": [{"url": PIXEL + "A" * 256 * K}]}]), 413,
     "message_too_large", "input"),
    ("B34 an image elsewhere", SAY, body(input=[{"content": "a", "images": [{"url": "https://x.test/a.png"}]}]), 400,
     "unsupported_content", "input[0].images[0].url"),
    ("B34 an image that is a page", SAY, body(input=[{"content": "a", "images": [{"url": "data:text/html,x"}]}]), 400,
     "unsupported_content", "input[0].images[0].url"),
    ("B34 a model's image", SAY, body(input=[{"role": "assistant", "content": "a", "images": [{"url": PIXEL}]}]),
     400, "unsupported_content", "input[0].images"),
    ("B34 no items", SAY, body(input=[]), 400, "empty_message", "input"),
    ("B35 image", SAY, body(input=[{"content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}]), 400,
     "invalid_value", "input[0].content"),
    ("policy unknown", SAY, body(input="x", policy="later"), 400, "invalid_value", "policy"),
    ("parent malformed", SAY, body(input="x", parent="../"), 400, "invalid_value", "parent"),
    ("parent unknown", SAY, body(input="x", parent="0" * 16), 404, "turn_not_found", "parent"),
    ("say a list", SAY, b"[]", 400, "invalid_value", None),
    ("say a text", SAY, b'"x"', 400, "invalid_value", None),
    ("instructions too long", SAY, body(input="x", instructions="x" * 70_000), 400, "invalid_value", "instructions"),
    ("fork without turn", "/fork", b"{}", 400, "missing_parameter", "turn"),
    ("fork of nonsense", "/fork", body(turn="nonsense"), 404, "turn_not_found", "turn"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "data", "status", "code", "param"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_body(
    server: Shared, conversation: str, path: str, data: bytes, status: int, code: str, param: str | None
) -> None:
    answer = server.request("POST", f"/api/conversations/{conversation}{path}", data)
    assert (answer.status, answer.code, answer.json["error"]["param"]) == (status, code, param)
    assert set(answer.json["error"]) == {"message", "type", "code", "param"}


CREATE: list[tuple[str, bytes, str]] = [
    ("unknown", body(colour="red"), "colour"),
    ("title a number", body(title=5), "title"),
    ("title too long", body(title="x" * 513), "title"),
    ("metadata a list", body(metadata=[]), "metadata"),
    ("metadata not text", body(metadata={"a": 1}), "metadata[...]"),
    ("metadata too many", body(metadata={str(number): "" for number in range(17)}), "metadata"),
    ("ttl negative", body(ttl=-1), "ttl"),
    ("ttl text", body(ttl="1"), "ttl"),
    ("ttl beyond all", body(ttl=10**12), "ttl"),
]


@pytest.mark.parametrize(("data", "param"), [row[1:] for row in CREATE], ids=[row[0] for row in CREATE])
def test_create(server: Shared, data: bytes, param: str) -> None:
    answer = server.request("POST", "/api/conversations", data)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


def test_title_too_long_in_bytes(server: Shared) -> None:
    answer = server.request("POST", "/api/conversations", body(title="é" * 500))
    assert (answer.status, answer.code) == (413, "title_too_long")


ODD_BUT_FINE = [
    "\u0300" * 100_000,
    "\u202e abc \u202c",
    "Z͑ͫ̓ͪ̂ͫ̽",
    "<script>alert(1)</script>",
    "<|im_end|>",
    "\x1b[31mred",
    "a\u2028b",
    "🤷🏽‍♀️" * 100,
]


@pytest.mark.parametrize("text", ODD_BUT_FINE, ids=range(len(ODD_BUT_FINE)))
def test_odd_text_is_kept_to_the_byte(server: Shared, text: str) -> None:
    """B29"""
    name = server.run(server.home.conversation())
    receipt = server.request("POST", f"/api/conversations/{name}/turns", body(input=text))
    assert receipt.status == 202
    turn = server.request("GET", f"/api/conversations/{name}/turns/{receipt.json['turn']}").json
    assert turn["request"]["input"][0]["content"] == text


HEADERS: list[tuple[str, dict[str, str], int, str]] = [
    ("B07 charset", {"Content-Type": "application/json; charset=utf-16"}, 415, "unsupported_media_type"),
    ("B20 text", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    ("B20 form", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    ("B20 multipart", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
    ("B20 several", {"Content-Type": "text/plain; application/json"}, 415, "unsupported_media_type"),
    ("B21 gzip", {"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
    ("B40 empty key", {"Idempotency-Key": ""}, 400, "invalid_idempotency_key"),
    ("B40 long key", {"Idempotency-Key": "k" * 256}, 400, "invalid_idempotency_key"),
    ("B40 key beyond ASCII", {"Idempotency-Key": "ké"}, 400, "invalid_idempotency_key"),
    ("B40 key with a space", {"Idempotency-Key": "a b"}, 400, "invalid_idempotency_key"),
    ("B53 foreign origin", {"Origin": "http://evil.example"}, 403, "origin_not_allowed"),
    ("B53 null origin", {"Origin": "null"}, 403, "origin_not_allowed"),
    ("B53 cross-site", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403, "origin_not_allowed"),
    ("B55 foreign host", {"Host": "evil.example"}, 421, "unknown_host"),
    ("B55 malformed host", {"Host": "a b"}, 421, "unknown_host"),
]


@pytest.mark.parametrize(("headers", "status", "code"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS])
def test_headers(server: Shared, conversation: str, headers: dict[str, str], status: int, code: str) -> None:
    answer = server.request("POST", f"/api/conversations/{conversation}/turns", body(input="x"), headers)
    assert (answer.status, answer.code) == (status, code)
    assert "access-control-allow-origin" not in answer.headers


HOSTS = [
    "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "127.0.0.1.", "localhost.", "xn--localhost", "local",
    "0x7f.0.0.1", "2130706433", "127.1", "[::1", "localhost:80:80", "user@localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_rebound_names(server: Shared, host: str) -> None:
    """B55"""
    assert server.request("GET", "/healthz", headers={"Host": host}).status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8000", "10.0.0.7:8000"])
def test_our_names(server: Shared, host: str) -> None:
    assert server.request("GET", "/healthz", headers={"Host": host}).status == 200


ORIGINS = [
    "http://127.0.0.1", "https://{host}", "http://localhost:{port}", "http://{host}.evil.example", "http://{host}/",
    "http://evil.example#{host}", "http://{host}@evil.example", "HTTP://{host}", "http://127.0.0.1:1", "null",
    "file://",     "ws://{host}", "{host}", "http://[::1]:{port}", " ", "*",
]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
def test_look_alike_origins(server: Shared, origin: str) -> None:
    """B53, B56"""
    given = origin.format(host=server.host, port=server.port)
    assert server.request("POST", "/api/conversations", b"{}", {"Origin": given}).status == 403
    assert upgrade(server, {"Origin": given}).status == 403


def test_our_origin(server: Shared) -> None:
    given = {"Origin": f"http://{server.host}"}
    assert server.request("POST", "/api/conversations", b"{}", given).status == 201
    assert upgrade(server, given).status == 101


def upgrade(server: Shared, headers: dict[str, str], path: str = "/api/socket", method: str = "GET") -> Answer:
    given = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Host": server.host,
        **headers,
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        link.sendall("\r\n".join([*lines, "", ""]).encode())
        data = b""
        while b"\r\n\r\n" not in data and (chunk := link.recv(4096)):
            data += chunk
    return Answer(data)


UPGRADES: list[tuple[str, dict[str, str], str, str, int]] = [
    ("B55 foreign host", {"Host": "evil.example"}, "/api/socket", "GET", 421),
    ("B56 foreign origin", {"Origin": "http://evil.example"}, "/api/socket", "GET", 403),
    ("B58 version 8", {"Sec-WebSocket-Version": "8"}, "/api/socket", "GET", 400),
    ("B58 no key", {"Sec-WebSocket-Key": ""}, "/api/socket", "GET", 400),
    ("B58 bad key", {"Sec-WebSocket-Key": "nonsense"}, "/api/socket", "GET", 400),
    ("B58 no upgrade", {"Upgrade": "", "Connection": "close"}, "/api/socket", "GET", 426),
    ("B58 another upgrade", {"Upgrade": "h2c"}, "/api/socket", "GET", 426),
    ("B22 elsewhere", {}, "/healthz", "GET", 404),
    ("B22 nowhere", {}, "/nowhere", "GET", 404),
    ("B17 long line", {"X-Long": "x" * 20_000}, "/api/socket", "GET", 431),
]


@pytest.mark.parametrize(
    ("headers", "path", "method", "status"), [row[1:] for row in UPGRADES], ids=[row[0] for row in UPGRADES]
)
def test_upgrades(server: Shared, headers: dict[str, str], path: str, method: str, status: int) -> None:
    assert upgrade(server, headers, path, method).status == status


NAMES = [
    "x" * 10_000, "*", "%7B", "%7D", ":", "%0d%0a", "..%2f", "%F0%9F%98%80", "conv_", "conv_00" + "0" * 31,
    "CONV_00" + "0" * 32,     "conv_00" + "0" * 32, "conv_00" + "g" * 32, "conv_00" + "0" * 32 + "%0a", "%00",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_no_conversation(server: Shared, name: str) -> None:
    """B44: the same 404 on every route."""
    path = f"/api/conversations/{name}"
    expected = (414, "uri_too_long") if len(name) > 8_000 else (404, None)
    for method, tail, data in [
        ("GET", "", None), ("PATCH", "", b"{}"), ("DELETE", "", None), ("POST", "/turns", b'{"input":"x"}'),
        ("GET", "/turns", None),         ("GET", "/queue", None), ("GET", "/events", None),
        ("GET", "/description", None),
        ("POST", "/fork", b'{"turn":"%s"}' % (b"0" * 16)),
        ("GET", f"/turns/{'0' * 16}", None), ("POST", f"/turns/{'0' * 16}/cancel", None),
    ]:  # fmt: skip
        answer = server.request(method, path + tail, data)
        assert answer.status == expected[0], (method, tail)
        assert answer.code in (expected[1] or "conversation_not_found", "not_found")


QUERIES: list[tuple[str, int]] = [
    ("/api/conversations?limit=0", 400),
    ("/api/conversations?limit=-1", 400),
    ("/api/conversations?limit=1000000000", 400),
    ("/api/conversations?limit=abc", 400),
    ("/api/conversations?limit=", 400),
    ("/api/conversations?limit=1.5", 400),
    ("/api/conversations?limit=%31", 200),
    ("/api/conversations?limit=%D9%A1", 400),
    ("/api/conversations?offset=-1", 400),
    ("/api/conversations/{c}?turns=201", 400),
    ("/api/conversations/{c}?turns=x", 400),
    ("/api/conversations/{c}/turns?limit=0", 400),
    ("/api/conversations/{c}/turns?before=-1", 400),
    ("/api/conversations/{c}/turns?before=99999999999", 400),
    ("/api/conversations/{c}/events?after=abc", 400),
    ("/api/conversations/{c}/events?after=", 400),
    ("/api/conversations/{c}/events?after=1-1%0a", 400),
    ("/api/conversations/{c}/events?until=forever", 400),
    ("/api/conversations/{c}/turns/nonsense", 404),
    ("/api/conversations/{c}/turns/0000000000000000", 404),
]


@pytest.mark.parametrize(("path", "status"), QUERIES, ids=[row[0] for row in QUERIES])
def test_queries(server: Shared, conversation: str, path: str, status: int) -> None:
    """B46, B48"""
    answer = server.request("GET", path.format(c=conversation))
    assert answer.status == status


@pytest.mark.parametrize("last", ["nonsense", "1-1 ", "x" * 5_000, "-1"])
def test_last_event_id(server: Shared, conversation: str, last: str) -> None:
    """B47"""
    path = f"/api/conversations/{conversation}/events"
    answer = server.request("GET", path, headers={"Last-Event-ID": last})
    # Spaces around a header's value are not part of it.
    if last.strip() == "1-1":
        return
    assert (answer.status, answer.code) == (400, "invalid_cursor")


def test_events_are_not_json(server: Shared, conversation: str) -> None:
    """B77"""
    answer = server.request("GET", f"/api/conversations/{conversation}/events", headers={"Accept": "application/json"})
    assert (answer.status, answer.code) == (406, "not_acceptable")


def test_cancel_of_unknown_and_malformed_turns(server: Shared, conversation: str) -> None:
    """B45"""
    for turn in ("0" * 16, "nonsense"):
        answer = server.request("POST", f"/api/conversations/{conversation}/turns/{turn}/cancel")
        assert (answer.status, answer.code) == (404, "turn_not_found")


PATHS: list[tuple[str, str, int]] = [
    ("GET", "/nowhere", 404),
    ("GET", "/api/conversations/", 404),
    ("GET", "//api/conversations", 404),
    ("GET", "/static/../health.py", 404),
    ("GET", "/static/..%2fhealth.py", 404),
    ("GET", "/static/%2e%2e/%2e%2e/run.py", 404),
    ("GET", "/static/%00", 404),
    ("GET", "/static//etc/passwd", 404),
    ("GET", "/" + "x" * 20_000, 414),
    ("PUT", "/api/conversations", 405),
    ("POST", "/healthz", 405),
    ("TRACE", "/healthz", 405),
    ("OPTIONS", "/api/conversations", 405),
    ("get", "/healthz", 400),
    ("BREW", "/healthz", 400),
    ("GET", "nonsense", 400),
    ("OPTIONS", "*", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), PATHS, ids=[f"{row[0]} {row[1][:30]}" for row in PATHS])
def test_paths(server: Shared, method: str, path: str, status: int) -> None:
    """B22, B23"""
    answer = server.request(method, path)
    assert answer.status == status
    assert answer.json["error"]["type"] in ("invalid_request_error", "not_found_error")
    if status == 405:
        assert answer.headers["allow"]


def test_allow_names_every_method(server: Shared) -> None:
    answer = server.request("PUT", "/api/conversations")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_no_cors_for_strangers(server: Shared) -> None:
    """B54"""
    for origin in ("http://evil.example", "null", f"http://{server.host}"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = server.request("OPTIONS", "/api/conversations", headers=headers)
        assert answer.status in (403, 405)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def raw(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


JSON = "Content-Type: application/json"


def post(*lines: str, body: bytes = b"") -> bytes:
    return raw("POST /api/conversations HTTP/1.1", "Host: localhost", *lines, body=body)


def get(*lines: str) -> bytes:
    return raw("GET /api/models HTTP/1.1", "Host: localhost", *lines)


RAW: list[tuple[str, bytes, int]] = [
    ("B15 both lengths", post("Content-Length: 2", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    ("B16 two lengths", post("Content-Length: 2", "Content-Length: 3", body=b"{}"), 400),
    ("negative length", post("Content-Length: -1"), 400),
    ("endless length", post("Content-Length: " + "9" * 30), 400),
    ("B12 announced", post(JSON, f"Content-Length: {64 * K * K}"), 413),
    ("B17 40 kB", get("X-Long: " + "x" * 40_000), 431),
    ("B17 200 kB", get("X-Long: " + "x" * 200_000), 431),
    ("B17 unending", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 300_000, 431),
    ("B18 2,000 headers", get(*(f"X-{number}: 1" for number in range(2_000))), 431),
    ("B19 bare LF", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: 1\nX-B: 2\r\n\r\n", 400),
    ("B19 NUL", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: 1\0\r\n\r\n", 400),
    ("B19 folded", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n 2\r\n\r\n", 400),
    ("B51 two authorizations", get("Authorization: Bearer a", "Authorization: Bearer b"), 401),
    ("two hosts", get("Host: localhost"), 400),
    ("no host", raw("GET /healthz HTTP/1.1"), 400),
    ("two origins", get("Origin: http://localhost", "Origin: http://localhost"), 403),
    ("B78 HTTP/1.0", raw("GET /healthz HTTP/1.0"), 200),
    ("B78 absolute", raw("GET http://localhost/healthz HTTP/1.1", "Host: localhost", "Connection: close"), 200),
    ("B78 absolute without path", raw("GET http://localhost HTTP/1.1", "Host: localhost", "Connection: close"), 400),
    ("HTTP/3.7", raw("GET /healthz HTTP/3.7", "Host: localhost"), 400),
    ("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, 400),
    ("bad chunk", post(JSON, "Transfer-Encoding: chunked", body=b"zz\r\n"), 400),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), [row[1:] for row in RAW], ids=[row[0] for row in RAW])
def test_raw(server: Shared, data: bytes, status: int) -> None:
    answer = server.send(data)
    assert answer.status == status
    if status >= 400:
        assert answer.json["error"]["code"]
        assert answer.headers["x-request-id"]


def test_expect_continue(server: Shared) -> None:
    """B78"""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        link.sendall(raw("POST /api/conversations HTTP/1.1", f"Host: {server.host}", "Content-Type: application/json",
                         "Content-Length: 2", "Expect: 100-continue", "Connection: close"))  # fmt: skip
        assert link.recv(100).startswith(b"HTTP/1.1 100 Continue")
        link.sendall(b"{}")
        assert read_answer(link).status == 201


def test_a_body_that_is_too_long_is_not_read_on(server: Shared) -> None:
    """B12, B13"""
    for head in (f"Content-Length: {64 * K * K}", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
            link.sendall(post(JSON, head))
            sent = 0
            try:
                while sent < 64 * K * K:
                    link.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n" if "chunked" in head else b" " * 65_536)
                    sent += 65_536
            except ConnectionError:
                pass
            # What the kernel takes before it hears of the end is not read.
            assert sent < 16 * K * K


def test_half_sent_requests_are_closed(server: Shared) -> None:
    """B14, B61, B75: many at once, while others are served."""
    halves = [
        b"",
        b"GE",
        b"GET /healthz HTTP/1.1\r\nHost: local",
        post(JSON, "Content-Length: 10", body=b"{    "),
        post(JSON, "Transfer-Encoding: chunked", body=b"5\r\n{"),
    ]  # fmt: skip

    def hold(half: bytes) -> float:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
            began = time.monotonic()
            link.sendall(half)
            answer = read_answer(link)
            assert answer.status == 408
            return time.monotonic() - began

    def drip(_: int) -> float:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
            began = time.monotonic()
            try:
                for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000:
                    link.sendall(bytes([byte]))
                    time.sleep(0.2)
            except ConnectionError:
                pass
            return time.monotonic() - began

    with ThreadPoolExecutor(60) as pool:
        held = [pool.submit(hold, half) for half in halves * 10]
        dripping = [pool.submit(drip, number) for number in range(5)]
        time.sleep(0.5)
        began = time.monotonic()
        assert server.request("GET", "/healthz").status == 200
        assert time.monotonic() - began < 2
        assert max(each.result() for each in held) < 14
        assert max(each.result() for each in dripping) < 14
