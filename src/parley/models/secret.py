"""A secret: text that prints as ``***`` wherever it is shown, logged or put into an error."""

from typing import Any


class Secret:
    """Text that only `reveal` shows; empty counts as false.

    Printing, formatting, `repr` and JSON encoders never show the text. Two secrets with one text are equal.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret('***')" if self._text else "Secret('')"

    def __str__(self) -> str:
        return "***" if self._text else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def decode_secret(kind: type, value: Any) -> Any:
    """Make a `Secret` of a string: the `dec_hook` of `msgspec.convert` for settings that hold one."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
