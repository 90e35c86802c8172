"""OpenAI's chat completion as it streams: chunks in, pieces out. Pure.

Only the first choice is read. A role, an empty or null text, an empty list of choices say nothing and are passed
over. Reasoning comes as `reasoning_content` or `reasoning`, whichever the server knows; one that sends both means
one. Calls of functions go to the channel `tool` (core.calls), one after the other.
"""

import msgspec
from msgspec import Struct

from parley.core.calls import argue, begin
from parley.core.pieces import Piece
from parley.core.turn import Usage
from parley.models.failure import error_in_stream
from parley.models.model import Finish, ModelError


class Function(Struct):
    """A function that is called, or the next part of its arguments."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    """A call, or what a chunk adds to it. In a whole answer it has no index."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Said(Struct):
    """What a chunk adds (`delta`), or a whole answer says (`message`)."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(Struct):
    """One of the answers asked for."""

    index: int | None = 0
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class Details(Struct):
    """What some of the tokens were."""

    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class Counts(Struct):
    """Tokens as the upstream counted them."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None

    def usage(self) -> Usage:
        """As we keep them."""
        read, written = self.prompt_tokens_details or Details(), self.completion_tokens_details or Details()
        return Usage(
            self.prompt_tokens or 0, self.completion_tokens or 0, read.cached_tokens or 0, written.reasoning_tokens or 0
        )


class Chunk(Struct):
    """One event of the stream; a whole answer has the same outer form."""

    choices: list[Choice] | None = None
    usage: Counts | None = None
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw()


CHUNK = msgspec.json.Decoder(Chunk)


class ChatStream:
    """Folds the chunks of one answer."""

    def __init__(self) -> None:
        # OpenAI's finish_reason, once it was said.
        self.reason: str | None = None
        # The end mark was seen.
        self.done = False
        self._usage: Usage | None = None
        self._model = ""
        self._call: tuple[int | None, str] | None = None  # index and id of the call that was begun last

    def take(self, data: bytes) -> list[Piece]:
        """Take the data of one event; return the pieces in it.

        Raises:
            ModelError: the event is an error, or nothing that a chat completion can hold.
        """
        if data == b"[DONE]":
            self.done = True
        if self.done:
            return []
        return self._take(decode_chunk(data))

    def finish(self) -> Finish:
        """How the answer ended, by what was said so far."""
        reason = self.reason or "stop"
        if reason == "error":
            raise ModelError("upstream_error", "the upstream failed in mid-answer", retryable=True)
        return Finish(reason, self._usage, self._model)

    def _take(self, chunk: Chunk) -> list[Piece]:
        if chunk.error and chunk.error != b"null":
            raise error_in_stream(chunk.error)
        if chunk.model and not self._model:
            self._model = chunk.model
        if chunk.usage is not None:
            self._usage = chunk.usage.usage()
        pieces: list[Piece] = []
        for choice in chunk.choices or ():
            if choice.index:
                continue
            said = choice.delta or choice.message
            if said is not None:
                if reasoning := said.reasoning_content or said.reasoning:
                    pieces.append(Piece(reasoning, "reasoning"))
                if text := said.content or said.refusal:
                    pieces.append(Piece(text))
                for call in said.tool_calls or ():
                    pieces += self._called(call, streamed=choice.delta is not None)
            if choice.finish_reason:
                self.reason = choice.finish_reason
            elif choice.message is not None:
                self.reason = "stop"  # a whole answer, from a server that says no more of it
        return pieces

    def _called(self, call: ToolCall, *, streamed: bool) -> list[Piece]:
        """What a call comes to. A new index, a new id or, where there is neither, a name begins another call."""
        function = call.function or Function()
        begun = self._call
        if not streamed or begun is None:
            fresh = True
        elif call.index is not None:
            fresh = call.index != begun[0] or bool(call.id and begun[1] and call.id != begun[1])
        else:
            fresh = bool(call.id and call.id != begun[1]) or (not call.id and bool(function.name))
        pieces: list[Piece] = []
        if fresh:
            if not function.name:
                raise ModelError("upstream_invalid", "the upstream called a function without a name")
            self._call = (call.index, call.id or "")
            pieces.append(Piece(begin(function.name), "tool"))
        if function.arguments:
            pieces.append(Piece(argue(function.arguments), "tool"))
        return pieces


def decode_chunk(data: bytes) -> Chunk:
    """Read one event's data; bytes that are not UTF-8 become U+FFFD.

    Raises:
        ModelError: upstream_invalid; it is not JSON, or of another shape.
    """
    try:
        try:
            return CHUNK.decode(data)
        except UnicodeDecodeError:
            return CHUNK.decode(data.decode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        raise ModelError("upstream_invalid", "the upstream sent something that is not a chat completion") from None
