"""The first seed's shapes, as its page and its streamer know them: what an action is sent, and what it replies.

A reply is ``{"output", "state", "streaming"}`` and nothing else: any further key opens the page's side view. Down the
stream each object is one line; a state stands alone in its object and comes first, an output is never empty, and
``{}`` is the end. Lines are ASCII and short enough for a streamer that relays what it reads 2,048 bytes at a time.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Annotated, Any

from msgspec import Meta, Struct

from parley.core.errors import InvalidRequest
from parley.core.pieces import Channel

LINE_BYTES = 2_048
END = b"{}\n"
# What stands around a piece of text in its line.
FRAME_BYTES = len(b'{"output": ""}\n')

# A user's name, in a token before its colon.
USER = re.compile(r"[^:\s\x00-\x1f\x7f]{1,100}")
# A form's field this long that is nothing but base64 is a file.
FILE_CHARS = 256
BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}\s*")
PICTURES = {b"\x89PNG\r\n": "PNG picture", b"\xff\xd8\xff": "JPEG picture", b"GIF8": "GIF picture"}
FIELDS = 100

EXPIRED = "[This conversation has expired; here a new one begins.]\n\n"
ANEW = "\n\n[The answer begins anew.]\n\n"
NOTHING_MORE = "[That was all.]"
STOPPED = "\n\n[stopped]"
CUT = "\n\n[cut off: this is as long as an answer gets]"
MORE = "\n\n[The answer goes on: say /more for the rest.]"


class Asked(Struct, frozen=True):
    """The body of a call. Fields that are not named here are ignored, as actions do.

    `user` is for the owner of the deployment only: on whose behalf an action asks. `seconds` is how long the caller
    can wait for the reply; None: as long as the server would.
    """

    input: Any = ""
    state: Annotated[str, Meta(max_length=1_000)] | None = None
    token: Annotated[str, Meta(max_length=1_000)] | None = None
    user: Annotated[str, Meta(max_length=100)] | None = None
    seconds: Annotated[float, Meta(gt=0)] | None = None


class LogIn(Struct, frozen=True):
    """The body of a login."""

    username: Annotated[str, Meta(max_length=1_000)]
    password: Annotated[str, Meta(max_length=1_000)]


class Shown(Struct, frozen=True):
    """What is to be shown in the side view, by the keys a reply had: the first of these that is there counts."""

    html: str | None = None
    code: str | None = None
    language: str = ""
    chess: str | None = None
    message: str | None = None
    title: str = ""


class Say(Struct, frozen=True):
    """Something for the model; `model`: answered by that one from here on."""

    text: str
    model: str = ""


class Switch(Struct, frozen=True):
    """Another model from here on; an empty name asks which there are."""

    model: str = ""


class More(Struct, frozen=True):
    """Nothing is said: a greeting is due, or the rest of an answer."""


Said = Say | Switch | More


def parse_token(token: str) -> tuple[str, str] | None:
    """The user and the secret of a token ``user:secret``; None when either is empty or there is no colon."""
    user, _, secret = token.partition(":")
    return (user, secret) if USER.fullmatch(user) and secret else None


def parse(said: Any, models: Sequence[str]) -> Said:
    """What is said, as what it asks for.

    Args:
        models: the names there are; ``@name`` before a message counts only when it is one of them.

    Raises:
        InvalidRequest: the input is neither text nor a form.
    """
    text = text_of(said)
    said = text.strip()
    if not said or said == "/more":
        return More()
    command, _, rest = said.partition(" ")
    if command == "/model":
        return Switch(rest.strip())
    if said.startswith("@"):
        if said[1:] in models or len(said.split()) == 1:
            return Switch(said[1:])
        # Names may have spaces in them: the longest that fits is meant.
        fitting = [name for name in models if said[1:].startswith(name) and said[1 + len(name) :][:1].isspace()]
        if fitting:
            name = max(fitting, key=len)
            return Say(said[1 + len(name) :].strip(), name)
    return Say(text)


def text_of(said: Any) -> str:
    """What is said, as text; a form as a line for each field.

    Raises:
        InvalidRequest: it is neither text nor a form.
    """
    if said is None:
        return ""
    if isinstance(said, str):
        return said
    fields = said.get("form", said) if isinstance(said, dict) else None
    if not isinstance(fields, dict) or len(fields) > FIELDS:
        raise InvalidRequest("invalid_value", "`input` must be text, or a form.", param="input")
    return "\n".join(f"{name}: {_field(name, value)}" for name, value in fields.items())


def _field(name: str, value: Any) -> str:
    """A field's value as text. What a file holds is not for a model to read as letters: only its size is told."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    if isinstance(value, int | float):
        return json.dumps(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if not isinstance(value, str):
        raise InvalidRequest("invalid_value", "A field of a form must be text.", param=f"input.form.{name}")
    if len(value) >= FILE_CHARS and BASE64.fullmatch(value):
        try:
            data = base64.b64decode(value)
        except (binascii.Error, ValueError):
            return value
        kind = next((kind for begin, kind in PICTURES.items() if data.startswith(begin)), "file")
        return f"({kind} of {len(data)} bytes, not shown to the model)"
    return value


class Rendering:
    """A reply as one text: reasoning between ``[think]`` marks, so that markdown does not take them for tags.

    What has been replied never changes, however the pieces are cut: text that may be the beginning of a tag is held
    back until it is decided.
    """

    def __init__(self) -> None:
        self._reasoning = False
        self._held = ""

    def add(self, text: str, channel: Channel = "text") -> str:
        """What a piece adds to the text. Calls are for the client that offered the functions, not for people."""
        if channel == "tool":
            return ""
        shown = ""
        if (channel == "reasoning") != self._reasoning and text:
            shown = self._switch(channel == "reasoning")
        text = self._held + text
        for tag in TAGS:
            text = text.replace(tag, tag.replace("<", "[").replace(">", "]"))
        start = text.rfind("<", -LONGEST)
        begun = start >= 0 and any(tag.startswith(text[start:]) for tag in TAGS)
        self._held = text[start:] if begun else ""
        return shown + (text[:start] if begun else text)

    def end(self) -> str:
        """What is left, when there will be no more."""
        return self._switch(False) if self._reasoning else self._release()

    def _release(self) -> str:
        held, self._held = self._held, ""
        return held

    def _switch(self, reasoning: bool) -> str:
        self._reasoning = reasoning
        return self._release() + ("[think]\n" if reasoning else "\n[/think]\n\n")


TAGS = ("<think>", "</think>")
LONGEST = max(map(len, TAGS)) - 1


class Mark(Struct, frozen=True):
    """How much of a turn's reply somebody was told, in characters of its rendering, before they had to go."""

    turn: str
    generation: int
    told: int

    def encode(self) -> str:
        """As kept with the conversation."""
        return f"{self.turn} {self.generation} {self.told}"


def parse_mark(text: str) -> Mark | None:
    """The mark kept with a conversation; None when there is none."""
    match = re.fullmatch(r"([0-9a-f]{16}) (\d{1,9}) (\d{1,9})", text)
    return None if match is None else Mark(match[1], int(match[2]), int(match[3]))


def failure(message: str) -> str:
    """An error, for people."""
    return f"[error: {message.strip().rstrip('.')}]"


def line(**fields: str) -> bytes:
    """One object of a stream."""
    return json.dumps(fields).encode() + b"\n"


def cut(text: str) -> Iterator[str]:
    """Cut a text so that each part fits into a line as an output."""
    part: list[str] = []
    size = FRAME_BYTES
    for character in text:
        more = len(json.dumps(character)) - 2
        if size + more > LINE_BYTES:
            yield "".join(part)
            part, size = [], FRAME_BYTES
        part.append(character)
        size += more
    if part:
        yield "".join(part)


def reply(output: str, state: str | None) -> dict[str, Any]:
    """The reply of an action. `streaming` tells the page that the streamer may be asked as well."""
    named = {} if state is None else {"state": state}
    return {"output": output, **named, "streaming": True}


def index(namespace: str, group: str, services: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What there is to talk to: names and their ``package/action``."""
    return {"username": namespace, "services": {group: [{"name": name, "url": url} for name, url in services]}}


def choices(models: Sequence[str], current: str) -> str:
    """The models there are, for people."""
    if not models:
        return "There is no list of models here."
    names = "\n".join(f"- {name}" + (" (answers here)" if name == current else "") for name in models)
    return f"Models:\n\n{names}\n\nSwitch with `/model NAME` or `@NAME`."


SANDBOX = (
    '<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; img-src data:\">"
)


def display(shown: Shown) -> str:
    """The side view, as HTML. Nothing of what is shown becomes a part of the page around it.

    HTML gets a frame of its own in which nothing runs and nothing is loaded; everything else is text.

    Raises:
        InvalidRequest: there is nothing to show.
    """
    if shown.html is not None:
        return f'<iframe sandbox title="Display" srcdoc="{escape(SANDBOX + shown.html)}"></iframe>'
    if shown.code is not None:
        return f'<pre data-language="{escape(shown.language)}"><code>{escape(shown.code)}</code></pre>'
    if shown.chess is not None:
        return f"<pre>{escape(shown.chess)}</pre>"
    if shown.message is not None:
        title = f"<h3>{escape(shown.title)}</h3>" if shown.title else ""
        return f"{title}<p>{escape(shown.message)}</p>"
    raise InvalidRequest("missing_parameter", "There is no html, code, chess or message to show.")
