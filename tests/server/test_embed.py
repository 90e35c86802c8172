"""Who may frame the page, and load the script that does."""

from collections.abc import Iterator

import pytest

from tests.server.shared import Shared, shared

SHOP, PARTNER, STRANGER = "https://shop.example", "https://partner.example:8443", "https://stranger.example"


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(embed_origin=(SHOP, PARTNER)) as made:
        yield made


def test_the_listed_origins_may_frame_every_page(server: Shared) -> None:
    for path in ("/embed", "/c/conv_x", "/static/app.css"):
        headers = server.request("GET", path).headers
        assert headers["content-security-policy"].endswith(f"; frame-ancestors {PARTNER} {SHOP}")
        assert "x-frame-options" not in headers, "older browsers would frame it for nobody"


def test_the_frame_shows_the_page(server: Shared) -> None:
    assert server.request("GET", "/embed").body == server.request("GET", "/c/conv_x").body


@pytest.mark.parametrize("origin", [SHOP, PARTNER])
def test_their_pages_may_load_the_script(server: Shared, origin: str) -> None:
    answer = server.request("GET", "/embed.js", headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
    assert "origin" in answer.headers["vary"]
    assert b"customElements.define" in answer.body


@pytest.mark.parametrize(
    ("method", "path", "origin"),
    [
        ("GET", "/embed.js", STRANGER),
        ("GET", "/embed.js", f"{SHOP}.stranger.example"),
        ("GET", "/embed.js", "null"),
        ("POST", "/embed.js", SHOP),
        ("GET", "/embed", SHOP),
        ("GET", "/api/models", SHOP),
        ("GET", "/api/embed.js", SHOP),
        ("POST", "/api/conversations", SHOP),
    ],
)
def test_and_nothing_else(server: Shared, method: str, path: str, origin: str) -> None:
    answer = server.request(method, path, headers={"Origin": origin, "Content-Type": "application/json"})
    assert (answer.status, answer.code) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


def test_where_nobody_may_the_own_page_still_has_the_script() -> None:
    with shared() as server:
        answer = server.request("GET", "/embed.js")
        assert (answer.status, answer.headers["x-frame-options"]) == (200, "DENY")
        assert "access-control-allow-origin" not in answer.headers
