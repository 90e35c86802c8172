"""What those are shown who read a conversation through a link: what was said and answered, and nothing else.

Not the instructions, which no frame shows anyway, nor what programs put beside them: messages of other roles than user
and assistant, the text of function calls and what came of them, metadata, and what an error says of our insides. Each
frame stays a frame, and each piece as long as it is, so that whoever folds them can tell that none is missing.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

Body = dict[str, Any]

# Roles whose words are shown.
SHOWN = ("user", "assistant")
ABOUT = ("id", "object", "created_at", "updated_at", "expires_at", "title", "model", "turns", "head", "status")
TOOL_DELTA = b'"channel":"tool"'  # no text can hold it: its quotes would be escaped

_decode = msgspec.json.Decoder(Body).decode
_encode = msgspec.json.Encoder().encode


def shown(kind: str, data: bytes) -> bytes:
    """A frame for readers of a link."""
    if kind == "delta" and TOOL_DELTA not in data:
        return data
    change = CHANGES.get(kind)
    return data if change is None else _encode(change(_decode(data)))


def link(kind: str, data: bytes) -> str | None:
    """What a frame says of the link the conversation is shared by; None: nothing."""
    if kind == "shared":
        return str(_decode(data)["link"])
    return str(_decode(data)["about"]["shared"]) if kind == "snapshot" else None


def snapshot(body: Body) -> Body:
    """A snapshot."""
    return body | {"about": about(body["about"]), "turns": [turn(each) for each in body["turns"]]}


def about(body: Mapping[str, Any]) -> Body:
    """A conversation, without its turns."""
    return {name: body[name] for name in ABOUT if name in body}


def turn(body: Body) -> Body:
    """A turn; one that was withdrawn before it was answered says nothing."""
    withdrawn = body["status"] == "cancelled" and not body["length"]
    request = dict(_request(body["request"]), **({"input": []} if withdrawn else {}))
    changed = body | {"request": request}
    if body.get("tool"):
        changed["tool"] = _blank(body["tool"])
    return _failed(changed)


def _request(body: Body) -> Body:
    said = [each for each in body["input"] if each.get("role", "user") in SHOWN and not each.get("calls")]
    return {"input": said} | ({"model": body["model"]} if body.get("model") else {})


def _queued(body: Body) -> Body:
    return body | {"request": _request(body["request"])}


def _delta(body: Body) -> Body:
    return body | {"text": _blank(body["text"])}


def _failed(body: Body) -> Body:
    error = body.get("error")
    return body | {"error": {"code": error["code"], "message": "The model did not answer."}} if error else body


def _blank(text: str) -> str:
    return " " * len(text.encode())


def _changed(body: Body) -> Body:
    return body | {"about": about(body["about"])}


def _shared(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "link"}


CHANGES = {
    "snapshot": snapshot,
    "queued": _queued,
    "delta": _delta,
    "end": _failed,
    "changed": _changed,
    "shared": _shared,
}
