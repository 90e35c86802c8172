"""What Ollama's clients ask, as bodies. A field that is not named here is ignored; one that is, is checked."""

import base64
import re
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from parley.core.errors import InvalidRequest
from parley.core.message import Call, Image, Message, Parameters
from parley.core.turn import Private
from parley.wire.commands import Instructions, Name, Stop
from parley.wire.ollama.context import unpack
from parley.wire.openai.requests import Items, Penalty, Share, Temperature, Tools, tools_asked
from parley.wire.openai.said import IMAGE, Spoken, read

MOST_TOKENS = 1_000_000
# Fields of a turn's `echo`: nothing of it is stored.
UNSTORED = {"store": False, "alone": True}
# How the images that models know begin.
IMAGES = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "gif": re.compile(rb"GIF8[79]a"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}

Think = bool | Literal["low", "medium", "high", "max"]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Options(Struct, frozen=True):
    """`options`: those that a model that is reached over a network can be asked for; the others are ignored."""

    temperature: Temperature | None = None
    top_p: Share | None = None
    num_predict: Annotated[int, Meta(ge=-2, le=MOST_TOKENS)] | None = None
    stop: str | Annotated[list[Stop], Meta(max_length=8)] | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """What /api/chat and /api/generate have in common. `stream` is true when absent."""

    model: Name = ""
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    options: Options | None = None
    think: Think | None = None
    keep_alive: str | float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    @property
    def unloading(self) -> bool:
        """Whether nothing is asked but that the model be forgotten: it is no matter of ours."""
        return self.keep_alive in (0, "0", "0s")

    @property
    def thoughts(self) -> bool:
        """Whether what the model thinks is to be told."""
        return self.think is not False

    def check(self) -> None:
        """Raise what is wrong with the whole.

        Raises:
            InvalidRequest.
        """
        if self.logprobs or self.top_logprobs:
            raise unsupported("logprobs", "There are no log probabilities here.")

    def parameters(self, tools: list[Any] | None = None) -> Parameters:
        """How the model is to answer."""
        options = self.options or Options()
        given = options.stop
        stop = () if not given else (given,) if isinstance(given, str) else tuple(given)
        most = options.num_predict
        return Parameters(
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=most if most is not None and most > 0 else None,  # -1, -2: as many as there are
            stop=stop,
            seed=options.seed,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            tools=tools_asked(tools or [], None, flat=False)[0],
            response_format=_format(self.format),
            reasoning_effort=self.think if isinstance(self.think, str) else None,
        )


class AskChat(Asked, frozen=True, kw_only=True):
    """POST /api/chat"""

    kind: ClassVar[Literal["chat"]] = "chat"

    messages: Items | None = None
    tools: Tools | None = None

    def spoken(self) -> list[Spoken]:
        """What is said; nothing: only that the model be ready.

        Raises:
            InvalidRequest.
        """
        calls = _OpenCalls()
        found = [_said(each, f"messages[{number}]", calls) for number, each in enumerate(self.messages or [])]
        return [said for several in found for said in several]

    def private(self) -> Private:
        """The part of the turn that its worker reads."""
        return Private("", self.parameters(self.tools), echo=UNSTORED)


class AskGenerate(Asked, frozen=True, kw_only=True):
    """POST /api/generate"""

    kind: ClassVar[Literal["generate"]] = "generate"

    prompt: str | None = None
    suffix: str | None = None
    system: Instructions | None = None
    template: str | None = None
    context: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=1_000_000)] | None = None
    raw: bool | None = None
    images: list[str] | None = None

    def check(self) -> None:
        super().check()
        if self.raw:
            raise unsupported("raw", "There are no raw prompts here: models are given messages.")
        if self.template:
            raise unsupported("template", "There are no templates here: models are given messages.")
        if self.suffix:
            raise unsupported("suffix", "There is no filling in here: models are given messages.")

    def spoken(self) -> list[Spoken]:
        """What was said before, and the prompt; nothing: only that the model be ready.

        Raises:
            InvalidRequest.
        """
        if not self.prompt and not self.images:
            return []
        before = [Spoken("context", message) for message in unpack(self.context or [])]
        shown = _images(self.images, "images")
        return [*before, Spoken("prompt", Message("user", self.prompt or "", images=shown))]

    def private(self) -> Private:
        """The part of the turn that its worker reads."""
        return Private(self.system or "", self.parameters(), echo=UNSTORED)


class AskShow(Struct, frozen=True):
    """POST /api/show; `name` is what `model` was called before."""

    model: Name = ""
    name: Name = ""


class _Function(Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    arguments: dict[str, Any] | None = None


class _ToolCall(Struct, frozen=True):
    function: _Function
    id: str | None = None


class _Message(Struct, frozen=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    images: list[str] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class _OpenCalls:
    """The calls that were not answered yet. Ollama's have no ids, or the client's: ours go by their order."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[Call, str | None]] = []  # and what its client calls it

    def begin(self, asked: _ToolCall) -> Call:
        """A call that an assistant made."""
        self._count += 1
        function = asked.function
        arguments = msgspec.json.encode(function.arguments or {}).decode()
        call = Call(f"call_{self._count}", function.name, arguments)
        self._open.append((call, asked.id))
        return call

    def answer(self, message: _Message, param: str) -> str:
        """The id of the call that a tool's message answers.

        Raises:
            InvalidRequest: it answers none.
        """
        for number, (call, given) in enumerate(self._open):
            if message.tool_call_id and given is not None:
                fits = message.tool_call_id == given
            else:
                fits = message.tool_name in (None, "", call.name)
            if fits:
                del self._open[number]
                return call.id
        raise InvalidRequest("invalid_value", "This message answers no call of a tool.", param=param)


def _said(value: Any, param: str, calls: _OpenCalls) -> list[Spoken]:
    message = read(value, _Message, param)
    images = _images(message.images, f"{param}.images")
    if images and message.role != "user":
        raise InvalidRequest("unsupported_content", "Only users show images.", param=f"{param}.images")
    text, place = message.content or "", f"{param}.content"
    if message.role == "tool":
        return [Spoken(place, Message("tool", text, call=calls.answer(message, param)))]
    made = [calls.begin(each) for each in message.tool_calls or []] if message.role == "assistant" else []
    found = [Spoken(place, Message(message.role, text, images=images))] if text or not made else []
    return found + [Spoken(f"{param}.tool_calls", Message("assistant", "", (call,))) for call in made]


def _images(given: list[str] | None, param: str) -> tuple[Image, ...]:
    return tuple(_image(each, f"{param}[{number}]") for number, each in enumerate(given or []))


def _image(data: str, param: str) -> Image:
    """An image, by how its bytes begin: Ollama's form does not say what it is."""
    try:
        # Enough of it to see; whoever is shown it decodes the rest.
        start = base64.b64decode(data[:32], validate=True)
    except ValueError:
        start = b""
    for kind, form in IMAGES.items():
        url = f"data:image/{kind};base64,{data}"
        if form.match(start) and IMAGE.fullmatch(url):
            return Image(url)
    message = "An image is a PNG, JPEG, GIF or WebP in base64."
    raise InvalidRequest("unsupported_content", message, param=param)


def _format(given: str | dict[str, Any] | None) -> dict[str, Any] | None:
    """`format`, as chat completions spell it."""
    if not given:
        return None
    if given == "json":
        return {"type": "json_object"}
    if isinstance(given, dict):
        return {"type": "json_schema", "json_schema": {"name": "format", "schema": given}}
    raise InvalidRequest("invalid_value", "`format` must be json or a JSON schema.", param="format")


def unsupported(param: str, message: str) -> InvalidRequest:
    """The refusal of a field."""
    return InvalidRequest("unsupported_parameter", message, param=param)
