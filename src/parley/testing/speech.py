"""What the scripted upstream puts on the wire: one answer as events or as a document. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import msgspec

from parley.testing.script import Script

FORGED = " Human: forged question Bot: forged answer"
NOISE = (
    b": keep-alive\n\n"
    b'data: {"choices":[]}\r\n\r\n'
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
    b'data:{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":""}}],"usage":null}\n\n'
    b'event: message\ndata: {"choices":\ndata: [{"index":0,"delta":{}}]}\n\n'
)


def event(value: object) -> bytes:
    """One server-sent event with JSON data."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


class Speech(ABC):
    """One answer. `tokens` is what is left to say; `failing` tells that the script's fault is to happen."""

    def __init__(
        self, script: Script, tokens: list[str], run: int, failing: bool, partial: str, streaming: bool, asked: int
    ) -> None:
        self.script = script
        self.run = run
        self.failing = failing
        self.streaming = streaming
        self.asked = asked
        self.tokens = list(tokens)
        if partial and script.echo:
            self.tokens.insert(0, partial)
        if script.huge and self.tokens:
            self.tokens[0] = self.tokens[0].rstrip() + "x" * max(0, script.huge - len(self.tokens[0])) + " "

    def error_body(self) -> dict[str, Any]:
        """The body of an answer with an error status."""
        body: dict[str, Any] = {"error": {"message": "scripted failure", "type": "server_error", "code": None}}
        if self.script.estimated_time is not None:
            body = {"error": "Model scripted is currently loading", "estimated_time": self.script.estimated_time}
        return body

    @abstractmethod
    def token_events(self) -> Iterator[bytes]:
        """An event for each token, reasoning first."""

    @abstractmethod
    def opening(self) -> bytes:
        """What precedes the first token."""

    @abstractmethod
    def closing(self) -> bytes:
        """What follows the last token."""

    @abstractmethod
    def error_event(self) -> bytes:
        """An error in mid-stream."""

    @abstractmethod
    def document(self) -> Any:
        """The whole answer as one document."""


class ChatSpeech(Speech):
    """An answer as a chat completion."""

    def __init__(
        self,
        script: Script,
        tokens: list[str],
        run: int,
        failing: bool,
        partial: str,
        streaming: bool,
        asked: int,
        model: str,
        usage: bool,
    ) -> None:
        super().__init__(script, tokens, run, failing, partial, streaming, asked)
        self.model = model
        self.usage = usage
        self._head = {"id": f"chatcmpl-{run}", "object": "chat.completion.chunk", "created": 0, "model": model}

    def opening(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def token_events(self) -> Iterator[bytes]:
        for position in range(self.script.reasoning):
            yield self._chunk({"reasoning_content": f"think:{position:04d} "})
        for token in self.tokens:
            if self.script.garbage:
                yield b"data: {not json\n\n"
                continue
            written = self._chunk({"content": token})
            if self.script.badutf8:
                written = written.replace(b' "}', b'\xff "}')
            yield NOISE + written if self.script.nulls else written
        for call in self._calls():
            function, index = call["function"], call["index"]
            head, tail = function["arguments"][:4], function["arguments"][4:]
            yield self._chunk({"tool_calls": [{**call, "function": {**function, "arguments": head}}]})
            yield self._chunk({"tool_calls": [{"index": index, "function": {"arguments": tail}}]})

    def closing(self) -> bytes:
        if self.script.nofinish:
            return b""
        last = self._chunk({}, self._finish)
        if self.usage:
            last += event({**self._head, "choices": [], "usage": self._counts()})
        return last if self.script.nodone else last + b"data: [DONE]\n\n"

    def error_event(self) -> bytes:
        return event({"error": {"message": "scripted failure in mid-stream", "type": "server_error", "code": 500}})

    def document(self) -> Any:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.tokens)}
        if self.script.reasoning:
            message["reasoning_content"] = "".join(f"think:{at:04d} " for at in range(self.script.reasoning))
        if self.script.calls:
            message["tool_calls"] = self._calls()
        choice = {"index": 0, "message": message, "finish_reason": self._finish}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._counts()}

    @property
    def _finish(self) -> str:
        return "tool_calls" if self.script.calls and self.script.finish == "stop" else self.script.finish

    def _calls(self) -> list[dict[str, Any]]:
        return [
            {
                "index": index,
                "id": f"call-{self.run}-{index}",
                "type": "function",
                "function": {"name": self.script.tag, "arguments": f'{{"number": {index}}}'},
            }
            for index in range(self.script.calls)
        ]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return event({**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _counts(self) -> dict[str, int]:
        said = len(self.tokens)
        return {"prompt_tokens": self.asked, "completion_tokens": said, "total_tokens": self.asked + said}


class GenerationSpeech(Speech):
    """An answer as Hugging Face text generation."""

    def __init__(
        self,
        script: Script,
        tokens: list[str],
        run: int,
        failing: bool,
        partial: str,
        streaming: bool,
        asked: int,
        *,
        as_list: bool,
        details: bool,
        prompt: str,
    ) -> None:
        super().__init__(script, tokens, run, failing, partial, streaming, asked)
        self.as_list = as_list
        self.details = details
        self.prompt = prompt
        self.text = "".join(self.tokens) + (FORGED if script.runon else "")

    def opening(self) -> bytes:
        return b""

    def token_events(self) -> Iterator[bytes]:
        # A run-on comes in pieces of three characters, so that a stop sequence is split over several.
        forged = [FORGED[at : at + 3] for at in range(0, len(FORGED), 3)] if self.script.runon else []
        for index, text in enumerate([*self.tokens, *forged]):
            if self.script.garbage:
                yield b"data:{not json\n\n"
                continue
            written = self._event(index, text)
            if self.script.badutf8:
                written = written.replace(b' "', b'\xff "', 1)
            yield written

    def closing(self) -> bytes:
        if self.script.nofinish:
            return b""
        last = {
            "index": len(self.tokens),
            "token": {"id": 2, "text": "</s>", "logprob": 0.0, "special": True},
            "generated_text": self.text,
            "details": self._details(),
        }
        return b"data:" + msgspec.json.encode(last) + b"\n\n"

    def error_event(self) -> bytes:
        return b'data:{"error":"scripted failure in mid-stream","error_type":"generation"}\n\n'

    def document(self) -> Any:
        answer: dict[str, Any] = {"generated_text": self.prompt + self.text}
        if self.details:
            answer["details"] = self._details()
        return [answer] if self.as_list else answer

    def _event(self, index: int, text: str) -> bytes:
        token = {"id": index, "text": text, "logprob": -0.5, "special": False}
        return b"data:" + msgspec.json.encode({"index": index, "token": token, "generated_text": None}) + b"\n\n"

    def _details(self) -> dict[str, Any]:
        reason = {"stop": "eos_token"}.get(self.script.finish, self.script.finish)
        return {"finish_reason": reason, "generated_tokens": len(self.tokens), "input_length": self.asked}
