"""What clients say, as messages: Responses' input items and chat completions' messages, strictly read.

Each message is one item later on, so an assistant's message with calls becomes several. Text parts are joined. Users
show images as ``data:`` URLs; files are refused, and nothing that a message points at is ever fetched, by the model's
server neither.
"""

import base64
import re
from typing import Any, Literal, TypeVar

from msgspec import Struct

from parley.core.errors import InvalidRequest
from parley.core.message import Call, Image, Message
from parley.wire import strict_json

T = TypeVar("T")
Detail = Literal["auto", "low", "high", "original"]

SUMMARY = "This is a summary of what was said before:\n\n"
TEXT_PARTS = frozenset({"input_text", "output_text", "text", "summary_text", "refusal"})
IMAGE_PARTS = frozenset({"input_image", "image_url"})
IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}", re.IGNORECASE)


class Reference(Struct, frozen=True):
    """An item that stands in a conversation, by its id."""

    id: str


class Spoken(Struct, frozen=True):
    """A message, or a reference to one, and the name of the field it came in."""

    param: str
    message: Message | Reference


class _Item(Struct, frozen=True):
    type: str | None = None
    role: str | None = None


class _MessageItem(Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: Any


class _CallItem(Struct, frozen=True):
    call_id: str
    name: str
    arguments: str


class _OutputItem(Struct, frozen=True):
    call_id: str
    output: Any


class _NamedItem(Struct, frozen=True):
    id: str


class _Compaction(Struct, frozen=True):
    encrypted_content: str


class _Function(Struct, frozen=True):
    name: str
    arguments: str = ""


class _ToolCall(Struct, frozen=True):
    id: str
    function: _Function


class _ChatMessage(Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer", "tool"]
    content: Any = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _Part(Struct, frozen=True):
    type: str
    text: str | None = None
    refusal: str | None = None


class _ImagePart(Struct, frozen=True):
    image_url: str | None = None
    detail: Detail | None = None


class _Shown(Struct, frozen=True):
    url: str
    detail: Detail | None = None


class _ChatImagePart(Struct, frozen=True):
    image_url: _Shown


def read(value: Any, kind: type[T], param: str) -> T:
    """`strict_json.convert`, for a value that stands in the field `param`."""
    try:
        return strict_json.convert(value, kind)
    except InvalidRequest as error:
        path = f"{param}.{error.param}" if error.param else param
        message = error.message.replace(f"`{error.param}`", f"`{path}`") if error.param else error.message
        raise InvalidRequest(error.code, message, param=path) from None


def items(given: str | list[Any], param: str = "input") -> list[Spoken]:
    """Responses' `input`, or the `items` of a conversation.

    Raises:
        InvalidRequest.
    """
    if isinstance(given, str):
        return [Spoken(param, Message("user", given))]
    found: list[Spoken] = []
    for number, each in enumerate(given):
        found += _item(each, f"{param}[{number}]")
    return found


def chat(messages: list[Any]) -> list[Spoken]:
    """The `messages` of a chat completion.

    Raises:
        InvalidRequest.
    """
    found: list[Spoken] = []
    for number, each in enumerate(messages):
        param = f"messages[{number}]"
        message = read(each, _ChatMessage, param)
        place = f"{param}.content"
        text, images = parts(message.content, place, message.role) if message.content is not None else ("", ())
        if message.role == "tool":
            if message.tool_call_id is None:
                raise _missing(f"{param}.tool_call_id")
            found.append(Spoken(place, Message("tool", text, call=message.tool_call_id)))
            continue
        calls = message.tool_calls or [] if message.role == "assistant" else []
        if message.content is None and not calls:
            raise _missing(place)
        if text or not calls:
            found.append(Spoken(place, Message(message.role, text, images=images)))
        for each_call in calls:
            call = Call(each_call.id, each_call.function.name, each_call.function.arguments)
            found.append(Spoken(f"{param}.tool_calls", Message("assistant", "", (call,))))
    return found


def content(given: Any, param: str) -> str:
    """Text, or parts of it.

    Raises:
        InvalidRequest: among others `unsupported_content`.
    """
    return parts(given, param)[0]


def parts(given: Any, param: str, role: str = "") -> tuple[str, tuple[Image, ...]]:
    """The text and the images of what someone in that role says.

    Raises:
        InvalidRequest: among others `unsupported_content`.
    """
    if isinstance(given, str):
        return given, ()
    if not isinstance(given, list):
        raise InvalidRequest("invalid_value", f"`{param}` must be a text or a list of parts.", param=param)
    texts: list[str] = []
    images: list[Image] = []
    for number, each in enumerate(given):
        place = f"{param}[{number}]"
        part = read(each, _Part, place)
        if part.type in IMAGE_PARTS and role == "user":
            images.append(_image(each, part.type, place))
            continue
        if part.type not in TEXT_PARTS:
            message = f"Parts of type {part.type[:50]!r} are not supported here: text is, and what a user shows."
            raise InvalidRequest("unsupported_content", message, param=f"{place}.type")
        text = part.refusal if part.type == "refusal" else part.text
        if text is None:
            raise _missing(f"{place}.{'refusal' if part.type == 'refusal' else 'text'}")
        texts.append(text)
    return "\n".join(texts), tuple(images)


def _image(value: Any, kind: str, place: str) -> Image:
    """An image as Responses (`input_image`) or chat completions (`image_url`) show one."""
    if kind == "image_url":
        shown = read(value, _ChatImagePart, place).image_url
        url, detail, param = shown.url, shown.detail, f"{place}.image_url.url"
    else:
        part = read(value, _ImagePart, place)
        url, detail, param = part.image_url or "", part.detail, f"{place}.image_url"
    return image(url, param, detail or "auto")


def image(url: str, param: str, detail: str = "auto") -> Image:
    """An image by its URL.

    Raises:
        InvalidRequest: `unsupported_content`.
    """
    if IMAGE.fullmatch(url) is None:
        message = "An image is a `data:` URL of a PNG, JPEG, GIF or WebP in base64: nothing is fetched."
        raise InvalidRequest("unsupported_content", message, param=param)
    return Image(url, detail)


def _item(value: Any, param: str) -> list[Spoken]:
    kind = read(value, _Item, param)
    match kind.type or ("message" if kind.role is not None else None):
        case "message":
            message = read(value, _MessageItem, param)
            place = f"{param}.content"
            text, images = parts(message.content, place, message.role)
            return [Spoken(place, Message(message.role, text, images=images))]
        case "function_call":
            call = read(value, _CallItem, param)
            said = Message("assistant", "", (Call(call.call_id, call.name, call.arguments),))
            return [Spoken(f"{param}.arguments", said)]
        case "function_call_output":
            output = read(value, _OutputItem, param)
            place = f"{param}.output"
            return [Spoken(place, Message("tool", content(output.output, place), call=output.call_id))]
        case "item_reference":
            return [Spoken(f"{param}.id", Reference(read(value, _NamedItem, param).id))]
        case "compaction":
            place = f"{param}.encrypted_content"
            summary = read(value, _Compaction, param).encrypted_content
            return [Spoken(place, Message("user", SUMMARY + unpack_summary(summary, place)))]
        case "reasoning":
            return []  # what a model thought is not shown to it again
        case None:
            raise _missing(f"{param}.type")
        case other:
            message_text = f"Items of type {other[:50]!r} are not supported."
            raise InvalidRequest("unsupported_item", message_text, param=f"{param}.type")


def pack_summary(summary: str) -> str:
    """A summary as a compaction item carries it. It is encoded, not encrypted: it is the client's own."""
    return base64.urlsafe_b64encode(summary.encode()).decode()


def unpack_summary(packed: str, param: str) -> str:
    """The summary in a compaction item of ours.

    Raises:
        InvalidRequest.
    """
    try:
        text = base64.b64decode(packed, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise InvalidRequest("invalid_value", "This is not a compaction of this server.", param=param) from None
    strict_json.check_text(text, param)
    return text


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest("missing_parameter", f"`{param}` is missing.", param=param)
