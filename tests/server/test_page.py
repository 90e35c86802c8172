"""The page's files: types, caching, compression, and the headers that keep a browser careful."""

import gzip
import re
from collections.abc import Iterator

import pytest

from parley.server.page import FOLDER
from tests.server.shared import Shared, shared

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared() as made:
        yield made


def test_a_program_is_told_what_clients_of_ollama_look_for(server: Shared) -> None:
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = server.request("GET", "/", headers=accept)
        assert (answer.status, answer.body) == (200, b"Ollama is running")
        assert (answer.headers["content-type"], answer.headers["vary"]) == ("text/plain; charset=utf-8", "accept")
        answer = server.request("HEAD", "/", headers=accept)
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "17")
    assert server.request("GET", f"/c/conv_00{'0' * 32}").headers["content-type"].startswith("text/html")


def test_the_page(server: Shared) -> None:
    answer = server.request("GET", "/", headers=BROWSER)
    assert answer.headers["vary"] == "accept-encoding, accept"
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    version = re.search(rb"/static/([0-9a-f]{12})/js/main.js", answer.body)
    assert version
    assert answer.body.replace(version[1] + b"/", b"") == (FOLDER / "index.html").read_bytes()


def test_a_file_that_is_named_by_its_version_is_kept_for_ever(server: Shared) -> None:
    page = server.request("GET", "/", headers=BROWSER).body.decode()
    paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(paths) > 10
    for path in paths:
        answer = server.request("GET", path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    older = re.sub(r"/[0-9a-f]{12}/", "/0123456789ab/", paths[0])
    plain = re.sub(r"/[0-9a-f]{12}/", "/", paths[0])
    for path in (older, plain):
        answer = server.request("GET", path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")
        assert answer.body == server.request("GET", paths[0]).body
    assert server.request("GET", "/static/0123456789ab/nothing.js").status == 404


def test_every_file_has_a_type_browsers_take(server: Shared) -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file():
            answer = server.request("GET", f"/static/{path.relative_to(FOLDER).as_posix()}")
            assert answer.status == 200, path
            assert answer.body == path.read_bytes()
            assert answer.headers["content-type"] != "application/octet-stream", path
            if path.suffix == ".js":
                assert answer.headers["content-type"].startswith("text/javascript")


def test_headers_of_care(server: Shared) -> None:
    """X12"""
    for path in ("/", "/static/app.css", "/healthz", "/nowhere"):
        headers = server.request("GET", path).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert policy["img-src"] == "'self' data:"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert server.request("GET", "/healthz").headers["cache-control"] == "no-store"


def test_a_copy_that_is_good_is_not_sent_again(server: Shared) -> None:
    first = server.request("GET", "/static/app.css")
    etag = first.headers["etag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}'):
        again = server.request("GET", "/static/app.css", headers={"If-None-Match": given})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert server.request("GET", "/static/app.css", headers={"If-None-Match": '"other"'}).status == 200


def test_who_takes_gzip_gets_it(server: Shared) -> None:
    plain = server.request("GET", "/static/app.css")
    packed = server.request("GET", "/static/app.css", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"


def test_head_has_no_body(server: Shared) -> None:
    answer = server.request("HEAD", "/", headers=BROWSER)
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) == len(server.request("GET", "/", headers=BROWSER).body)


def test_an_open_server_takes_a_link_with_any_token(server: Shared) -> None:
    answer = server.request("GET", "/?token=whatever")
    assert (answer.status, answer.headers["location"]) == (303, "/")
