"""JSON as it comes from strangers: one reading of it, limits first, every refusal with a code and the field's name.

Refused, although many parsers take it: more than 32 levels, a key twice in one object, NaN and Infinity, numbers
out of range, NUL and lone surrogates in text.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import msgspec

from parley.core.errors import InvalidRequest

MAX_DEPTH = 32

T = TypeVar("T")

_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_WHERE = re.compile(r" - at `\$\.?(.*)`$")
_NAMED = re.compile(r"^Object (contains unknown|missing required) field `(.*?)`")


def parse(data: bytes | str) -> Any:
    """Read JSON text.

    Raises:
        InvalidRequest: `invalid_utf8`, `invalid_json`, `too_deep`, `duplicate_key` or `invalid_text`.
    """
    value = decode(data)
    check(value)
    return value


def decode(data: bytes | str) -> Any:
    """Read JSON text, whatever characters its strings hold; they are to be looked at with `check`.

    Raises:
        InvalidRequest: `invalid_utf8`, `invalid_json`, `too_deep` or `duplicate_key`.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("invalid_utf8", "The body is not UTF-8.") from None
    if _too_deep(text):
        raise InvalidRequest("too_deep", f"The JSON has more than {MAX_DEPTH} levels.")
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError):
        raise InvalidRequest("invalid_json", "This is not valid JSON.") from None


def check(value: Any) -> None:
    """Refuse a value with text in it that cannot be stored and shown as it is.

    Raises:
        InvalidRequest: `invalid_text`.
    """
    for path, string in _strings(value, ""):
        check_text(string, path)


def check_text(text: str, param: str) -> None:
    """Refuse text that cannot be stored and shown as it is.

    Raises:
        InvalidRequest: `invalid_text`.
    """
    if "\0" in text:
        raise InvalidRequest("invalid_text", "Text may not contain the character U+0000.", param=param or None)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidRequest("invalid_text", "Text may not contain half a surrogate pair.", param=param) from None


def convert(value: Any, kind: type[T]) -> T:
    """Make a value of a type of what was parsed; nothing is coerced, no field is ignored.

    Raises:
        InvalidRequest: `unknown_parameter`, `missing_parameter` or `invalid_value`, with `param`.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def _explained(message: str) -> InvalidRequest:
    """What msgspec says, in our form."""
    where = _WHERE.search(message)
    path = where[1] if where else ""
    text = message[: where.start()] if where else message
    named = _NAMED.match(text)
    if named is None:
        return InvalidRequest("invalid_value", f"{text}.", param=path or None)
    param = f"{path}.{named[2]}" if path else named[2]
    if named[1] == "missing required":
        return InvalidRequest("missing_parameter", f"`{param}` is missing.", param=param)
    return InvalidRequest("unknown_parameter", f"`{param}` is not known here.", param=param)


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _BRACKETS.finditer(_STRINGS.sub("", text)):
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a value, with where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield path, key
            yield from _strings(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, f"{path}[{index}]")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidRequest("duplicate_key", "A key stands twice in one object.")
    return made


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return number


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
