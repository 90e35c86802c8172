"""Just enough of CSS (CSS Syntax Module Level 3) to read an operator's theme, and to refuse half a file."""

import re
from collections.abc import Iterator
from typing import NamedTuple

STRING = r"\"(?:[^\"\\\n]|\\(?s:.))*\"|'(?:[^'\\\n]|\\(?s:.))*'"
TOKEN = re.compile(
    rf"(?P<comment>/\*.*?\*/)|(?P<string>{STRING})|(?P<url>url\(\s*(?:{STRING}|(?:[^\"'()\\\s]|\\.)*)\s*\))"
    r"|(?P<open>[({\[])|(?P<close>[)}\]])|(?P<torn>/\*|[\"']|url\()|(?P<other>\s+|@?[-\w]+|\\.|.)",
    re.DOTALL | re.IGNORECASE,
)
PAIRS = {"(": ")", "{": "}", "[": "]"}
TORN = {
    "/*": "this comment has no end",
    "url(": "an address with blanks, quotes or brackets in it needs quotes around it",
}
# Where a semicolon was left out, the next custom property is part of the value.
SWALLOWED = re.compile(r"\s(--[-\w]+)\s*:")
FOREIGN = re.compile(r"(?:https?:)?//", re.IGNORECASE)


class Token(NamedTuple):
    """A piece of a file and the line it begins in. `kind`: a group of `TOKEN`."""

    kind: str
    text: str
    line: int


class Variable(NamedTuple):
    """A custom property that is set for `:root`, and the line it ends in."""

    name: str
    value: str
    line: int


def tokens(css: str) -> Iterator[Token]:
    """A file without its comments.

    Raises:
        ValueError: something that is begun has no end.
    """
    line = 1
    for found in TOKEN.finditer(css):
        kind, text = found.lastgroup or "", found[0]
        if kind == "torn":
            raise ValueError(f"line {line}: {TORN.get(text.lower(), 'this text has no end in its line')}")
        if kind != "comment":
            yield Token(kind, text, line)
        line += text.count("\n")


def variables(css: str) -> Iterator[Variable]:
    """What the rules for `:root` set that stand in nothing else, in their order.

    Raises:
        ValueError: brackets do not match, a colon or a semicolon is missing, or the file ends too early.
    """
    still: list[Token] = []  # open
    selector = piece = ""
    for token in tokens(css):
        if token.kind == "close":
            if not still or PAIRS[still[-1].text] != token.text:
                raise ValueError(f"line {token.line}: {token.text} closes nothing")
            still.pop()
        if token.text == "{" and not still:
            selector, piece = piece, ""
        elif token.text in (";", "}") and len(still) < 2:
            inside = still if token.text == ";" else not still
            if inside and ":root" in [each.strip() for each in selector.lower().split(",")] and piece.strip():
                yield _variable(piece, token.line)
            piece = ""
        else:
            piece += token.text
        if token.kind == "open":
            still.append(token)
    if still:
        raise ValueError(f"line {still[-1].line}: {still[-1].text} is never closed")
    if piece.strip():
        raise ValueError("it ends in the middle of a rule")


def _variable(piece: str, line: int) -> Variable:
    name, colon, value = (part.strip() for part in piece.partition(":"))
    if not colon or not value:
        raise ValueError(f"line {line}: {name} is set to nothing")
    if swallowed := SWALLOWED.search(value):
        raise ValueError(f"line {line}: there is no semicolon before {swallowed[1]}")
    return Variable(name, value, line)


def addresses(css: str) -> Iterator[tuple[int, str]]:
    """Everything that a browser would fetch, with its line: `url(…)`, what is imported, and texts in brackets."""
    rounds, before = 0, ""
    for kind, text, line in tokens(css):
        rounds += (text == "(") - (text == ")")
        if kind == "url":
            yield line, text[4:-1].strip().strip("\"'")
        elif kind == "string" and (before == "@import" or (rounds and FOREIGN.match(text[1:]))):
            yield line, text[1:-1]
        before = before if text.isspace() else text.lower()
