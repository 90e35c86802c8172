"""Hugging Face text generation on the wire: what is asked, and what comes back in any of its forms. Pure.

A document is ``[{"generated_text"}]`` (the old serverless API, and ``/`` of TGI) or ``{"generated_text",
"details"?}`` (``/generate``, and the old conversational task); a stream is one event a token, its end told by
``generated_text`` or by the stream's end.
"""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from parley.core.message import Parameters
from parley.core.turn import Usage
from parley.models.failure import error_in_stream
from parley.models.model import Finish, ModelError

# The old serverless API takes no more than 250; TGI would stop at 100 when nothing is said.
DEFAULT_MAX_TOKENS = 250
# TGI refuses more stop sequences.
STOPS_CAP = 4


class Details(Struct):
    """How a generation went."""

    finish_reason: str | None = None
    generated_tokens: int | None = 0
    input_length: int | None = 0
    prefill: list[msgspec.Raw] = []


class Generated(Struct):
    """A whole answer."""

    generated_text: str | None = None
    details: Details | None = None
    error: msgspec.Raw = msgspec.Raw()


class Token(Struct):
    """A token of a stream; a special one is not part of the text."""

    text: str = ""
    special: bool = False


class TokenEvent(Struct):
    """An event of a stream."""

    token: Token | None = None
    generated_text: str | None = None
    details: Details | None = None
    error: msgspec.Raw = msgspec.Raw()


T = TypeVar("T")

DOCUMENT = msgspec.json.Decoder(list[Generated] | Generated)
EVENT = msgspec.json.Decoder(TokenEvent)
REASONS = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


def generation_parameters(parameters: Parameters, stops: tuple[str, ...], *, details: bool) -> dict[str, Any]:
    """The `parameters` of a request. A temperature of 0, which TGI refuses, becomes greedy decoding."""
    chosen: dict[str, Any] = {
        "return_full_text": False,
        "max_new_tokens": parameters.max_tokens or DEFAULT_MAX_TOKENS,
        "stop": list(stops[:STOPS_CAP]),
    }
    if parameters.temperature is not None:
        chosen["do_sample"] = parameters.temperature > 0
        if parameters.temperature > 0:
            chosen["temperature"] = parameters.temperature
    if parameters.top_p is not None and 0 < parameters.top_p < 1:
        chosen["top_p"] = parameters.top_p
    if parameters.seed is not None:
        chosen["seed"] = parameters.seed
    if parameters.frequency_penalty is not None:
        chosen["frequency_penalty"] = parameters.frequency_penalty
    if details:
        chosen["details"] = True
    return chosen


class GenerationStream:
    """Folds the events of one answer, or its one document, into text."""

    def __init__(self, prompt: str, *, document: bool) -> None:
        self._prompt = prompt
        self._document = document
        # The end was told.
        self.done = False
        self._details: Details | None = None
        self._tokens_seen = False

    def take(self, data: bytes) -> str:
        """Take the data of one event, or the document; return the text in it.

        Raises:
            ModelError: it is an error, or of no known form.
        """
        if data == b"[DONE]":
            self.done = True
            return ""
        if self._document:
            return self._take_document(data)
        event = decode(EVENT, data)
        _check(event.error, data)
        if event.generated_text is not None:
            self.done = True
            self._details = event.details
        if event.token is not None and not event.token.special and event.token.text:
            self._tokens_seen = True
            return event.token.text
        return event.generated_text or "" if not self._tokens_seen else ""

    def finish(self, *, stopped: bool) -> Finish:
        """How the answer ended; `stopped` by a stop sequence that we found ourselves."""
        if self._details is None:
            return Finish()
        usage = Usage(self._details.input_length or len(self._details.prefill), self._details.generated_tokens or 0)
        return Finish("stop" if stopped else REASONS.get(self._details.finish_reason or "", "stop"), usage)

    def _take_document(self, data: bytes) -> str:
        found = decode(DOCUMENT, data)
        if isinstance(found, list):
            if not found:
                raise _invalid()
            found = found[0]
        _check(found.error, data)
        if found.generated_text is None:
            raise _invalid()
        self.done = True
        self._details = found.details
        # The old API repeats the prompt unless asked not to, and some servers even then.
        text: str = found.generated_text
        return text.removeprefix(self._prompt)


def decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode JSON; bytes that are not UTF-8 become U+FFFD.

    Raises:
        ModelError: upstream_invalid; it is not JSON, or of another shape.
    """
    try:
        try:
            return decoder.decode(data)
        except UnicodeDecodeError:
            return decoder.decode(data.decode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        raise _invalid() from None


def _check(error: msgspec.Raw, data: bytes) -> None:
    if error and error != b"null":
        raise error_in_stream(data)  # all of it: `error_type` stands beside `error`


def _invalid() -> ModelError:
    return ModelError("upstream_invalid", "the upstream sent something that is not a text generation")
