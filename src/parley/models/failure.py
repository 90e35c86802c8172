"""Failures: what an upstream's refusal means, as a `ModelError`. Pure.

An upstream's own words are only looked at, never passed on: they may quote keys, prompts or pages of HTML.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from parley.models.model import ModelError

# The longest single wait on an upstream's estimate of its own loading time; estimates of 300 and 1,809 seconds
# were seen that came true in 20, so we ask again instead.
LONGEST_ESTIMATE = 20.0

CONTEXT = re.compile(
    r"context[_ ](length|size|window)|exceed_context|maximum context|too many tokens|prompt is too long"
    r"|input(s)? (is|are) too long|`?inputs`? must have less than|max_new_tokens`? must be <=",
    re.IGNORECASE,
)
NO_MODEL = re.compile(
    r"model_not_found|model\b.{0,200}\b(not found|does not exist|not supported by any provider)", re.I | re.S
)
NO_CREDIT = re.compile(r"insufficient_quota|exceeded your (current quota|monthly included credits)", re.IGNORECASE)
KNOWN = re.compile(
    r"\b(model|messages|roles?|system|stream_options|stream|temperature|top_p|max_tokens|max_completion_tokens|stop"
    r"|seed|random_seed|presence_penalty|frequency_penalty|continue_final_message|add_generation_prompt|prefix"
    r"|inputs|parameters|max_new_tokens|do_sample|return_full_text|details|options|use_cache"
    r"|unsupported_parameter|unsupported_value|invalid_request_error|validation)\b",
    re.IGNORECASE,
)
# What llama.cpp says until it has read its model; it names no time.
LOADING = re.compile(r"\bloading model\b", re.IGNORECASE)
LOADING_PAUSE = 1.0
TOO_LARGE = re.compile(r"too large to be loaded", re.IGNORECASE)


class Complaint(Struct, frozen=True):
    """What was found in an error body: all its words together, and the waiting time it names."""

    words: str = ""
    estimated_time: float | None = None


def complaint(body: bytes | msgspec.Raw) -> Complaint:
    """Read an error body in any of its forms: ``error`` as text, list or object, ``detail``, or not JSON at all."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Complaint()
    estimate = found.get("estimated_time") if isinstance(found, dict) else None
    if isinstance(estimate, bool) or not isinstance(estimate, int | float) or estimate < 0:
        estimate = None
    return Complaint(" ".join(_words(found)), estimate)


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, continued: bool = False, now: float = 0.0
) -> ModelError:
    """What an answer other than 200 means.

    Args:
        headers: the answer's; read for Retry-After, case as the caller's mapping has it.
        continued: a partial answer was given, so the refusal may be of that.
        now: unix seconds, for a Retry-After that names a date.
    """
    said = complaint(body)
    retry_after = _retry_after(headers, now)
    estimate = LOADING_PAUSE if said.estimated_time is None and LOADING.search(said.words) else said.estimated_time
    if status == 503 and estimate is not None:
        seconds = min(estimate, LONGEST_ESTIMATE)
        return ModelError("upstream_error", "the upstream is loading the model", retryable=True, retry_after=seconds)
    if 300 <= status < 400:
        return ModelError("upstream_error", f"the upstream answered with a redirect ({status}), which is not followed")
    error = by_words(said.words)
    if error is not None and status != 401 and not (status >= 500 and error.code == "upstream_error"):
        return error
    return _by_status(status, retry_after, named(said.words), continued=continued)


def by_words(words: str) -> ModelError | None:
    """The failure that the words of an error name for sure; None when they do not."""
    if NO_CREDIT.search(words):
        return ModelError("upstream_rate_limited", "the upstream account is out of credit")
    if CONTEXT.search(words):
        return ModelError("context_too_long", "the conversation is too long for the model")
    if TOO_LARGE.search(words):
        return ModelError("upstream_error", "the upstream cannot load this model: it is too large there")
    if NO_MODEL.search(words):
        return ModelError("model_not_found", "the upstream does not know or serve this model")
    return None


def error_in_stream(error: msgspec.Raw | bytes) -> ModelError:
    """What an error object inside a stream that began well (200) means."""
    said = complaint(error)
    found = by_words(said.words)
    if found is not None:
        return found
    words = said.words.lower()
    if re.search(r"\b429\b|rate.?limit|overloaded", words):
        return ModelError("upstream_rate_limited", "the upstream is overloaded", retryable=True)
    if re.search(r"\b40[0134]\b|invalid_request|validation", words):
        return ModelError("upstream_error", "the upstream refused the request in its answer")
    return ModelError("upstream_error", "the upstream reported an error in its answer", retryable=True)


def named(words: str) -> str:
    """The fields and faults we know that an error names, for the operator: safe to show, for they are our words."""
    found = dict.fromkeys(word.lower() for word in KNOWN.findall(words))
    return f"; it names {', '.join(found)}" if found else ""


def _by_status(status: int, retry_after: float | None, names: str, *, continued: bool) -> ModelError:
    match status:
        case 400 | 422 if continued:
            return ModelError("continue_refused", f"the upstream will not continue a partial answer ({status})")
        case 401 | 403:
            return ModelError("upstream_auth", f"the upstream refused our credentials ({status})")
        case 402:
            return ModelError("upstream_rate_limited", "the upstream account is out of credit (402)")
        case 404:
            return ModelError("model_not_found", "the upstream knows no such model, or no such path (404)")
        case 410:
            return ModelError("upstream_gone", "the upstream is no longer there (410)")
        case 413:
            return ModelError("context_too_long", "the conversation is too long for the upstream (413)")
        case 408 | 504:
            return ModelError("upstream_timeout", f"the upstream timed out ({status})", retryable=True)
        case 429:
            message = "the upstream is limiting our rate (429)"
            return ModelError("upstream_rate_limited", message, retryable=True, retry_after=retry_after)
        case _ if status >= 500 or status == 425:
            message = f"the upstream failed ({status})"
            return ModelError("upstream_error", message, retryable=True, retry_after=retry_after)
        case _:
            return ModelError("upstream_error", f"the upstream refused the request ({status}){names}")


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to stay away: Retry-After as seconds or date; None when there is none that can be read."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds < 1e9 else None


def _words(value: Any, depth: int = 0) -> list[str]:
    """The texts and numbers that may say what went wrong, from any nesting of lists and objects."""
    if isinstance(value, str):
        return [value[:2000]]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if depth > 4:
        return []
    if isinstance(value, list):
        return [word for item in value[:20] for word in _words(item, depth + 1)]
    if isinstance(value, dict):
        keys = ("error", "message", "code", "type", "error_type", "detail", "msg", "status")
        return [word for key in keys if key in value for word in _words(value[key], depth + 1)]
    return []
