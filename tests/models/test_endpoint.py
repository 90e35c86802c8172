"""Upstream URLs: credentials are split off, nonsense is refused, nothing secret is repeated."""

import base64

import pytest

from parley.models.endpoint import chat_base, parse, redacted
from parley.models.secret import Secret


def test_user_information_wins_and_is_sent_as_basic() -> None:
    endpoint = parse("https://uid:se%40cret@host.example:8443/v1/", Secret("key"))
    assert endpoint.url == "https://host.example:8443/v1"
    assert endpoint.authorization.reveal() == "Basic " + base64.b64encode(b"uid:se@cret").decode()


@pytest.mark.parametrize("user", ["uid:secret@", "uid@", ":secret@", "uid:se:cr@et@"])
def test_credentials_leave_the_url(user: str) -> None:
    assert parse(f"https://{user}host.example/v1").url == "https://host.example/v1"
    assert parse(f"https://{user}host.example:1/v1").url == "https://host.example:1/v1"


def test_a_key_is_sent_as_bearer() -> None:
    assert parse("http://h", Secret("sk-1")).authorization.reveal() == "Bearer sk-1"


def test_without_either_nothing_is_sent() -> None:
    assert not parse("http://h").authorization


def test_ipv6_hosts_keep_their_brackets() -> None:
    assert parse("http://u:p@[::1]:80/v1").url == "http://[::1]:80/v1"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "ftp://sesame@h",
        "file:///etc/passwd",
        "gopher://h",
        "javascript:sesame",
        "http://",
        "http:///v1",
        "http://sesame@",
        "http://u:sesame@h/v1?x=1",
        "http://u:sesame@h/#x",
        "http://u:sesame@h h",
        "http://u:sesame@h\r\nX: y",
        "http://u:sesame@h:99999",
        "http://u:sesame@h:x",
        "http://u:sesame@[::1",
        "http://evil\\@sesame",
    ],
)
def test_unusable_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(url)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("key", ["a b", "a\nb", "a\r\nX-Evil: 1", "ключ"])
def test_a_key_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse("http://h", Secret(key))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://h", "http://h/v1"),
        ("http://h/", "http://h/v1"),
        ("http://h/v1", "http://h/v1"),
        ("http://h/v1/", "http://h/v1"),
        ("http://h/openai/v1", "http://h/openai/v1"),
        ("http://h/api", "http://h/api"),
        ("http://h/v1/chat/completions", "http://h/v1"),
    ],
)
def test_the_rule_for_base_urls(url: str, base: str) -> None:
    assert chat_base(url) == base


@pytest.mark.parametrize("url", ["http://u:sesame@h/v1", "http://sesame@h", "u:sesame@h", "http://u:sesame@h:x/"])
def test_a_printed_url_has_no_credentials(url: str) -> None:
    assert "sesame" not in redacted(url)
    assert "h" in redacted(url)
