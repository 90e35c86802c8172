"""What clients ask of /v1, as bodies. A field that is not named here is ignored; one that is, is checked."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from parley.core.errors import InvalidRequest
from parley.core.message import Parameters
from parley.core.turn import Private
from parley.wire.commands import Instructions, Metadata, Name, Stop
from parley.wire.openai.response import Echo
from parley.wire.openai.said import read

Short = Annotated[str, Meta(max_length=512)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Tokens = Annotated[int, Meta(ge=1, le=1_000_000)]
Items = Annotated[list[Any], Meta(max_length=2_000)]
Tools = Annotated[list[Any], Meta(max_length=128)]
Effort = Annotated[str, Meta(max_length=32)]


class Named(Struct, frozen=True):
    """Something by its id."""

    id: str


class Text(Struct, frozen=True):
    """`text`: the form of the answer."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Struct, frozen=True):
    """`reasoning`: how much to think."""

    effort: Effort | None = None
    summary: Short | None = None


class Conversing(Struct, frozen=True, kw_only=True):
    """What a create goes on behind: a conversation's newest turn, or a response, or nothing."""

    conversation: str | Named | None = None
    previous_response_id: str | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation's id."""
        return self.conversation.id if isinstance(self.conversation, Named) else self.conversation

    def check(self) -> None:
        """Raise what is wrong with the whole.

        Raises:
            InvalidRequest.
        """
        if self.conversation is not None and self.previous_response_id is not None:
            message = "`conversation` and `previous_response_id` exclude each other."
            raise InvalidRequest("mutually_exclusive", message, param="previous_response_id")


class CreateResponse(Conversing, frozen=True, kw_only=True):
    """POST /v1/responses"""

    model: Name | None = None
    input: str | Items | UnsetType | None = UNSET
    instructions: Instructions | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    max_output_tokens: Annotated[int, Meta(ge=16, le=1_000_000)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    tools: Tools | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    include: list[str] | None = None
    prompt: dict[str, Any] | None = None
    user: Short | None = None
    safety_identifier: Short | None = None
    prompt_cache_key: Short | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None

    def check(self) -> None:
        super().check()
        if self.input in (UNSET, None):
            raise InvalidRequest("missing_parameter", "`input` is missing.", param="input")
        if self.background and self.store is False:
            message = "A response in the background must be stored."
            raise InvalidRequest("invalid_value", message, param="background")
        if self.prompt is not None:
            raise InvalidRequest("unsupported_parameter", "There are no stored prompts here.", param="prompt")
        if self.top_logprobs:
            raise InvalidRequest("unsupported_parameter", "There are no log probabilities here.", param="top_logprobs")

    def parameters(self) -> Parameters:
        """How the model is to answer."""
        tools, choice = tools_asked(self.tools or [], self.tool_choice, flat=True)
        return Parameters(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_output_tokens,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls if tools else None,
            response_format=_chat_format(self.text.format) if self.text and self.text.format is not None else None,
            reasoning_effort=self.reasoning.effort if self.reasoning else None,
        )

    def private(self) -> Private:
        """The part of the turn that its worker reads, and that is shown again to whom it belongs."""
        parameters = self.parameters()
        echo = Echo(
            alone=self.conversation is None,
            store=self.store is not False,
            background=bool(self.background),
            metadata=self.metadata or {},
            text=_present(self.text),
            tool_choice=self.tool_choice if parameters.tools else None,
            reasoning=_present(self.reasoning),
            truncation=self.truncation or "",
            max_tool_calls=self.max_tool_calls,
            user=self.user,
            safety_identifier=self.safety_identifier,
            prompt_cache_key=self.prompt_cache_key,
            service_tier=None if self.service_tier == "auto" else self.service_tier,
        )
        whole = self.truncation == "disabled"
        return Private(self.instructions or "", parameters, whole, msgspec.to_builtins(echo))


class StreamOptions(Struct, frozen=True):
    """`stream_options` of a chat completion."""

    include_usage: bool | None = None


class CreateChat(Conversing, frozen=True, kw_only=True):
    """POST /v1/chat/completions; `conversation` and `previous_response_id` are ours."""

    messages: Annotated[list[Any], Meta(min_length=1, max_length=2_000)]
    model: Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: Stop | Annotated[list[Stop], Meta(max_length=8)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logprobs: bool | None = None
    tools: Tools | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: Effort | None = None
    user: Short | None = None

    def check(self) -> None:
        super().check()
        if self.n is not None and self.n != 1:
            raise InvalidRequest("unsupported_parameter", "There is one answer to a request: `n` is 1.", param="n")
        if self.logprobs:
            raise InvalidRequest("unsupported_parameter", "There are no log probabilities here.", param="logprobs")

    def parameters(self) -> Parameters:
        """How the model is to answer."""
        stop = () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        tools, choice = tools_asked(self.tools or [], self.tool_choice, flat=False)
        return Parameters(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens,
            stop=stop,
            seed=self.seed,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls if tools else None,
            response_format=_format_checked(self.response_format, "response_format"),
            reasoning_effort=self.reasoning_effort,
        )

    def private(self) -> Private:
        """The part of the turn that its worker reads."""
        stored = self.conversation is not None or self.previous_response_id is not None
        echo = Echo(alone=self.conversation is None, store=stored, user=self.user)
        return Private("", self.parameters(), echo=msgspec.to_builtins(echo))


class CreateConversation(Struct, frozen=True):
    """POST /v1/conversations"""

    metadata: Metadata | None = None
    items: Annotated[list[Any], Meta(max_length=20)] | None = None


class UpdateConversation(Struct, frozen=True):
    """POST /v1/conversations/{id}"""

    metadata: Metadata | None


class AddItems(Struct, frozen=True):
    """POST /v1/conversations/{id}/items"""

    items: Annotated[list[Any], Meta(min_length=1, max_length=20)]


class _FunctionTool(Struct, frozen=True):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}\Z")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _ChatTool(Struct, frozen=True):
    function: _FunctionTool


class _Typed(Struct, frozen=True):
    type: str


def tools_asked(
    given: list[Any], choice: str | dict[str, Any] | None, *, flat: bool
) -> tuple[tuple[dict[str, Any], ...], str | dict[str, Any] | None]:
    """The functions among the tools, and which of them to use, as chat completions spell them.

    Tools that OpenAI runs on its own side are left out: there are none here.

    Args:
        flat: whether they are spelled as Responses does.

    Raises:
        InvalidRequest.
    """
    functions: list[dict[str, Any]] = []
    for number, each in enumerate(given):
        param = f"tools[{number}]"
        if read(each, _Typed, param).type != "function":
            continue
        tool = read(each, _FunctionTool, param) if flat else read(each, _ChatTool, param).function
        function = {name: value for name, value in msgspec.structs.asdict(tool).items() if value is not None}
        functions.append({"type": "function", "function": function})
    return _chosen(functions, choice, flat)


def _chosen(
    functions: list[dict[str, Any]], choice: str | dict[str, Any] | None, flat: bool
) -> tuple[tuple[dict[str, Any], ...], str | dict[str, Any] | None]:
    names = {each["function"]["name"] for each in functions}
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise _bad_choice()
        return tuple(functions), choice if functions else None
    if choice is None:
        return tuple(functions), None
    if choice.get("type") == "function":
        place = choice if flat else choice.get("function")
        name = place.get("name") if isinstance(place, dict) else None
        if not isinstance(name, str) or name not in names:
            raise _bad_choice()
        return tuple(functions), {"type": "function", "function": {"name": name}}
    if choice.get("type") == "allowed_tools":
        inner = choice if flat else choice.get("allowed_tools")
        listed = inner.get("tools") if isinstance(inner, dict) else None
        mode = inner.get("mode", "auto") if isinstance(inner, dict) else None
        if not isinstance(listed, list) or mode not in ("auto", "required"):
            raise _bad_choice()
        allowed = {_name_of(each) for each in listed}
        return tuple(each for each in functions if each["function"]["name"] in allowed), mode
    raise _bad_choice()


def _name_of(tool: Any) -> str:
    inner = tool.get("function", tool) if isinstance(tool, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(name, str):
        raise _bad_choice()
    return name


def _bad_choice() -> InvalidRequest:
    message = "`tool_choice` must be none, auto, required, or one of the functions given."
    return InvalidRequest("invalid_value", message, param="tool_choice")


def _chat_format(given: dict[str, Any]) -> dict[str, Any] | None:
    """`text.format` as chat completions spell it."""
    if _format_checked(given, "text.format") is None:
        return None
    if given["type"] == "json_object":
        return {"type": "json_object"}
    schema = {name: given[name] for name in ("name", "description", "schema", "strict") if given.get(name) is not None}
    return {"type": "json_schema", "json_schema": schema}


def _format_checked(given: dict[str, Any] | None, param: str) -> dict[str, Any] | None:
    if given is None:
        return None
    kind = given.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        message = f"`{param}.type` must be text, json_object or json_schema."
        raise InvalidRequest("invalid_value", message, param=f"{param}.type")
    if kind == "json_schema":
        inner = given if param == "text.format" else given.get("json_schema")
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            raise InvalidRequest("invalid_value", f"The schema of `{param}` must have a name.", param=param)
        if not isinstance(inner.get("schema", {}), dict):
            raise InvalidRequest("invalid_value", f"The schema of `{param}` must be an object.", param=param)
    return None if kind == "text" else given


def _present(struct: Struct | None) -> dict[str, Any] | None:
    """The fields of a body that say something."""
    if struct is None:
        return None
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not None}
