"""What an upstream's refusal means, whatever form it takes."""

import email.utils
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.models.failure import LOADING_PAUSE, LONGEST_ESTIMATE, complaint, error_in_stream, refusal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "estimated_time", "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.integers(300, 599), st.binary(max_size=50), st.booleans())
def test_any_bytes_make_an_error(status: int, body: bytes, continued: bool) -> None:
    error = refusal(status, {}, body, continued=continued)
    assert error.code
    assert error.message


@given(st.integers(300, 599), JSON)
def test_any_json_makes_an_error(status: int, value: Any) -> None:
    import json

    body = json.dumps(value, allow_nan=False, default=str).encode() if _finite(value) else b"NaN"
    assert refusal(status, {}, body).message
    assert error_in_stream(body).message


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return value - value == 0
    if isinstance(value, list):
        return all(map(_finite, value))
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return True


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("1e300", None),
        (email.utils.formatdate(1_000_060, usegmt=True), 60.0),
        (email.utils.formatdate(999_000, usegmt=True), 0.0),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert refusal(429, {"Retry-After": header}, b"", now=1_000_000.0).retry_after == seconds


@pytest.mark.parametrize(
    ("estimate", "seconds"), [("4", 4.0), ("0.5", 0.5), ("1809", LONGEST_ESTIMATE), ("-1", None), ("true", None)]
)
def test_an_estimate_is_believed_up_to_a_point(estimate: str, seconds: float | None) -> None:
    body = f'{{"error":"loading","estimated_time":{estimate}}}'.encode()
    assert refusal(503, {}, body).retry_after == seconds


def test_a_model_that_is_being_loaded_is_waited_for() -> None:
    """llama.cpp names no time: three tries were over before a busy machine had read the built-in model."""
    error = refusal(503, {}, b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}')
    assert (error.retryable, error.retry_after) == (True, LOADING_PAUSE)
    assert refusal(500, {}, b'{"error":"Loading model"}').retry_after is None


def test_a_refusal_of_a_partial_answer_is_told_from_a_conversation_too_long() -> None:
    assert refusal(400, {}, b"{}", continued=True).code == "continue_refused"
    assert refusal(422, {}, b"{}", continued=True).code == "continue_refused"
    assert refusal(400, {}, b'{"error":{"code":"context_length_exceeded"}}', continued=True).code == "context_too_long"
    assert refusal(500, {}, b"{}", continued=True).code == "upstream_error"


def test_nesting_without_end_is_survived() -> None:
    assert complaint(b"[" * 100_000).words == ""
    assert complaint(b'{"error":' * 500 + b"1" + b"}" * 500).words == ""
