"""What is said: a message, its role, and the transcript a model is given to answer."""

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct, field

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Call(Struct, frozen=True):
    """A call of one of the client's functions, as the model wrote it: `arguments` is meant to be JSON."""

    id: str
    name: str
    arguments: str


class Image(Struct, frozen=True, omit_defaults=True):
    """An image, for models that can see: a ``data:`` URL, so that nobody has to fetch it, and how closely to look."""

    url: str
    detail: str = "auto"


class Message(Struct, frozen=True, omit_defaults=True):
    """One message: who speaks, and the text. The assistant may call functions; `tool` answers the call of that id.

    Images stand behind the text.
    """

    role: Role
    content: str
    calls: tuple[Call, ...] = ()
    call: str = ""
    images: tuple[Image, ...] = ()


def unasked(messages: Iterable[Message]) -> list[str]:
    """The ids of calls that are answered here without having been made before, in order."""
    made: set[str] = set()
    found = []
    for message in messages:
        if message.role == "tool" and message.call not in made:
            found.append(message.call)
        made.update(call.id for call in message.calls)
    return found


class Parameters(Struct, frozen=True, omit_defaults=True):
    """How a model is asked to answer; None leaves the choice to the model.

    What is not a number or a text has the form of OpenAI's chat completions, and is for models that know it.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    def over(self, base: "Parameters") -> "Parameters":
        """These parameters where set, else those of `base`."""
        chosen = {name: getattr(self, name) for name in self.__struct_fields__}
        return Parameters(
            **{name: getattr(base, name) if value is None or value == () else value for name, value in chosen.items()}
        )


class Transcript(Struct, frozen=True):
    """What a model is given: the messages, the parameters, and the part of the answer that stands already.

    `partial` is text of the answer that was already shown to people. A model that declares `continue` goes on
    right behind it; any other model is never given one.
    """

    messages: tuple[Message, ...]
    parameters: Parameters = field(default_factory=Parameters)
    partial: str = ""
