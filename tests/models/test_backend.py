"""The table of backends."""

import pytest

from parley.models.backend import BACKENDS, backend_of


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("http://127.0.0.1:11434/v1", "ollama"),
        ("http://127.0.0.1:8080", "other"),
        ("https://api.deepseek.com", "other"),
        ("https://api.openai.com.evil.example/v1", "other"),
    ],
)
def test_a_backend_is_known_by_host_or_port(url: str, name: str) -> None:
    assert backend_of(url) is BACKENDS[name]


def test_a_backend_named_by_the_operator_wins() -> None:
    assert backend_of("https://api.openai.com/v1", "vllm") is BACKENDS["vllm"]
    with pytest.raises(ValueError, match=r"unknown backend 'x'; known are openai, llama\.cpp"):
        backend_of("http://h", "x")


def test_what_is_not_known_is_not_presumed() -> None:
    assert not BACKENDS["other"].prefill
    assert not BACKENDS["openai"].prefill
