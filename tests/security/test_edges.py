"""X06, X07, X08, X09, X24: names that look like ours and are not; lines that would be written into a log."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import websockets.asyncio.client
from websockets.exceptions import InvalidStatus

from tests.server.harness import house
from tests.server.shared import Shared, shared
from tests.server.test_auth import BEARER, KEY
from tests.store.harness import run

LISTED = "https://chat.example.com"

# Look-alikes of a listed origin and of the server's own; PORT stands for its port.
ORIGINS = [
    "http://chat.example.com", "https://chat.example.com:444", "https://chat.example.com:80",
    "https://chat.example.com.evil.example", "https://evil-chat.example.com", "https://a.chat.example.com",
    "https://example.com", "https://chat.example.co", "https://chat.example.com@evil.example",
    "https://evil.example/https://chat.example.com", "https://evil.example#https://chat.example.com",
    "https://chat.example.com/", "https://CHAT.example.com", "https://chat.example.com%00.evil.example",
    "https://xn--cht-8ma.example.com", "null", "", "file://", "chrome-extension://chat.example.com",
    "https://chat.example.com https://evil.example", "http://127.0.0.1", "http://127.0.0.1:1PORT",
    "https://127.0.0.1:PORT", "http://localhost:PORT", "http://[::1]:PORT", "http://127.0.0.1.evil.example:PORT",
    "http://2130706433:PORT", "http://0x7f000001:PORT",
]  # fmt: skip

HOSTS = [
    "evil.example", "evil.example:PORT", "localhost.evil.example:PORT", "127.0.0.1.evil.example", "evil-localhost",
    "chat.example.com.evil.example", "xchat.example.com", "a.chat.example.com", "2130706433", "0x7f000001",
    "127.0.0.1:PORT@evil.example", "localhost/evil", "localhost, evil.example", "localhost evil.example",
    "[::1", "::1:PORT", "local\u00adhost", "localhost:99999999", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def keyed() -> Iterator[Shared]:
    with shared(access_key=KEY, origins=(LISTED,)) as made:
        yield made


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_look_alike_is_a_stranger(keyed: Shared, origin: str) -> None:
    """X06, X08: on every unsafe method, for what would be preflighted, and for sockets; the key does not help."""
    headers = {"Origin": origin.replace("PORT", str(keyed.port)), **BEARER}
    asked: list[tuple[str, str, bytes | None]] = [
        ("POST", "/api/conversations", b"{}"),
        ("PATCH", "/api/conversations/x", b"{}"),
        ("DELETE", "/api/sessions/current", None),
        ("POST", "/v1/chat/completions", b"{}"),
        ("POST", "/token?name=x", None),
        ("GET", "/api/conversations", None),
        ("OPTIONS", "/api/conversations", None),
    ]
    for method, path, body in asked:
        more = {"Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {}
        answer = keyed.request(method, path, body, {**headers, **more})
        assert answer.status == 403, (method, path, answer.raw[:200])
        assert not [name for name in answer.headers if name.startswith("access-control-")], (method, path)
    for path in ("/api/socket", "/chat", "/v1/responses"):
        upgrade: dict[str, str] = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }  # fmt: skip
        assert keyed.request("GET", path, None, headers | upgrade).status == 403, path


@pytest.mark.parametrize("host", HOSTS)
def test_a_rebound_name_is_not_ours(keyed: Shared, host: str) -> None:
    """X07: pages of a name that was made to point here are not answered, whatever they ask for."""
    named = host.replace("PORT", str(keyed.port))
    for path in ("/", "/api/conversations", "/healthz", "/static/app.css"):
        answer = keyed.request("GET", path, None, {"Host": named, **BEARER})
        assert answer.status in (400, 421), path
    # Its own origin is a stranger's as well.
    answer = keyed.request("POST", "/api/conversations", b"{}", {"Host": named, "Origin": f"http://{named}", **BEARER})
    assert answer.status in (400, 403, 421)


def test_what_is_listed_or_ours_is_let_in(keyed: Shared) -> None:
    """The tables above refuse nobody they should not."""
    for origin in (LISTED, f"http://127.0.0.1:{keyed.port}"):
        answer = keyed.request("POST", "/api/conversations", b"{}", {"Origin": origin, **BEARER})
        assert answer.status == 201
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers.get("access-control-allow-origin", origin) == origin
    for host in (f"127.0.0.1:{keyed.port}", "localhost", "LOCALHOST:1", "[::1]:8000", "chat.example.com", "10.9.8.7"):
        assert keyed.request("GET", "/healthz", None, {"Host": host}).status == 200


# What pages can send without asking.
KINDS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_form_can_send_is_not_read(keyed: Shared, kind: str) -> None:
    """X09: pages can send these without asking first, with whatever the browser keeps for us."""
    for path in ("/api/conversations", "/api/sessions", "/v1/conversations", "/agui", "/ai/chat"):
        answer = keyed.request("POST", path, b"{}", {"Content-Type": kind, **BEARER})
        assert answer.status == 415, path
    for site in ("cross-site", "same-site"):
        answer = keyed.request("POST", "/api/conversations", b"{}", {"Sec-Fetch-Site": site, **BEARER})
        assert answer.status == 403


JSON = {"Content-Type": "application/json"}
FORGED = [
    "line\r\nERROR forged line", "line\nINFO forged", "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "a\x00b",
    "\u2028forged",
    "%s%n %(message)s {0}",
]  # fmt: skip


def test_nobody_writes_lines_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """X24: names, texts, headers and paths that would begin a line, or steer a terminal; whatever is logged of them."""

    async def main() -> None:
        async with house(access_key=KEY) as home:
            url = home.served[0].url
            made = await home.call("POST", "/api/conversations", {}, expect=201, headers=BEARER)
            for text in FORGED:
                bodies: list[dict[str, str]] = [
                    {"title": text},
                    {"instructions": text},
                    {"model": text},
                    {"assistant": text},
                ]
                for body in bodies:
                    async with home.http.patch(f"{url}/api/conversations/{made['id']}", json=body, headers=BEARER):
                        pass
                said: list[tuple[str, dict[str, Any]]] = [
                    ("/api/sessions", {"name": text}),
                    ("/token", {"name": text}),
                    (f"/api/conversations/{made['id']}/turns", {"input": text, "model": text}),
                    ("/v1/chat/completions", {"model": text, "messages": [{"role": text, "content": text}]}),
                    ("/api/my/mastrogpt/login", {"username": text, "password": text}),
                ]
                for path, posted in said:
                    async with home.http.post(url + path, data=json.dumps(posted), headers=BEARER | JSON):
                        pass
                with pytest.raises(InvalidStatus):
                    await websockets.asyncio.client.connect(f"{home.served[0].socket_url}/%0d%0aforged", proxy=None)
            # What nobody foresaw is logged as well: break what is below.
            broken = home.served[0].server.app.parts.service.conversations
            broken.create = None  # type: ignore[method-assign,assignment]
            for text in (each.replace("\0", "") for each in FORGED):
                odd: dict[str, Any] = {"title": text, "metadata": {"a": text}}
                told = await home.call("POST", "/api/conversations", odd, expect=500, headers=BEARER)
                assert told["error"]["code"] == "internal_error"
            await asyncio.sleep(0)

    caplog.set_level(logging.DEBUG)
    run(main())
    assert "failed" in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(("parley", "uvicorn"))]
    assert lines
    for message in lines:
        assert "forged" not in message
        assert "\x1b" not in message
        assert "\r" not in message
