"""Writes docs/reference/python.md from the docstrings of what `parley` and `parley.testing` export.

python tools/python_page.py
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import parley
import parley.testing
from parley.client import errors, values
from parley.testing import plugin

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "python.md"

HEAD = """# The Python library

Every name below is imported from `parley`, and loaded when it is first used. The package is typed.
How it is used is told in [the library, step by step](../how-to/library.md).

This page is made from the docstrings by `tools/python_page.py`.
"""
SECTIONS = {
    "Without an event loop": ["Client", "Chat", "Reply"],
    "With an event loop": ["AsyncClient", "AsyncChat", "AsyncReply"],
    "What happens": ["Event", "Delta", "Rewind", "Notice"],
    "What a server tells": ["Conversation", "Snapshot", "Turn", "Receipt", "Models"],
    "What is said": ["Message", "Parameters"],
    "Errors": [
        "Error", "Unreachable", "NotAllowed", "InvalidRequest", "NotFound", "Conflict", "Busy", "ServerFault",
        "ModelError", "Rewound", "Closed",
    ],
    "A model and an application of your own": ["model", "App"],
}  # fmt: skip

# What is given, never made by hand: how it is made is nobody's business.
GIVEN = ("Chat", "Reply", "AsyncChat", "AsyncReply")

HEADING = re.compile(r"(Args|Attributes|Raises|Returns):")
ENTRY = re.compile(r"(\w+(?:, \w+)*): (.*)")


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        if title == "Errors":
            parts += ["```text", table_of_errors(), "```\n"]
            names = ["Error"]
        parts += [described(name, getattr(parley if name in parley.__all__ else values, name)) for name in names]
    parts.append("## Tests of your own: `parley.testing`\n")
    parts += [described(name, getattr(parley.testing, name)) for name in ("Server",)]
    parts += [f"### Fixtures\n\n{text(plugin)}\n", *fixtures()]
    return "\n".join(parts).rstrip() + "\n"


def table_of_errors() -> str:
    """The table at the head of the module of errors."""
    return inspect.getdoc(errors).partition("\n\n")[2]  # type: ignore[union-attr]


def described(name: str, thing: Any) -> str:
    """A class with its public members, or a function."""
    lines = [f"### `{name}`\n", text(thing), ""]
    if name not in GIVEN:
        lines.insert(1, f"```py\n{signature(name, thing)}\n```\n")
    if inspect.isclass(thing):
        for member, value in members(thing):
            kind = "" if isinstance(value, property) else signature(member, value)
            head = f"`{member}`" if isinstance(value, property) else f"`{kind}`"
            lines += [
                f"#### {head}\n" if len(head) < 60 else f"#### `{member}`\n\n```py\n{kind}\n```\n",
                text(value),
                "",
            ]
    return "\n".join(lines)


def members(thing: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, in the order they were written."""
    for name, value in vars(thing).items():
        if not name.startswith("_") and isinstance(value, FunctionType | property):
            yield name, value


def fixtures() -> Iterator[str]:
    """The fixtures of the plugin."""
    for name, value in vars(plugin).items():
        if name.startswith("parley_"):
            yield f"- `{name}`: {inspect.getdoc(value)}"


def signature(name: str, thing: Any) -> str:
    """How it is called, with types by their last name."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return name
    parameters = [each for each in found.parameters.values() if each.name not in ("self", "_")]
    if inspect.isclass(thing):
        found = found.replace(return_annotation=inspect.Signature.empty)
    shown = re.sub(r"(?:[A-Za-z_]\w*\.)+(\w+)", r"\1", str(found.replace(parameters=parameters))).replace("'", '"')
    shown = re.sub(r"Optional\[(Literal\[[^]]*\])\]", r"\1 | None", shown.replace("NoneType", "None").replace("~", ""))
    word = "async def " if inspect.iscoroutinefunction(thing) else ""
    return wrapped(f"{word}{name}{shown}")


def wrapped(line: str) -> str:
    """A long signature with a parameter a line."""
    if len(line) <= 100:
        return line
    head, _, rest = line.partition("(")
    inside, _, tail = rest.rpartition(")")
    depth, begun, parts = 0, 0, []
    for at, letter in enumerate(inside):
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            parts.append(inside[begun:at].strip())
            begun = at + 1
    parts.append(inside[begun:].strip())
    return f"{head}(\n" + "".join(f"    {part},\n" for part in parts) + f"){tail}"


def text(thing: Any) -> str:
    """A docstring as Markdown: its sections become lists, its indented programs blocks."""
    lines = (inspect.getdoc(thing) or "").replace("``", "`").split("\n")
    out: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if match := HEADING.fullmatch(line):
            body = list(_indented(lines, at + 1))
            out += [f"{match[1]}:\n", *entries(body)]
            at += len(body)
        elif line.startswith("    ") and (not at or not lines[at - 1]):
            body = list(_indented(lines, at))
            out += ["```py", *(each[4:] for each in _trimmed(body)), "```"]
            at += len(body) - 1
            if body and not body[-1]:
                out.append("")
        else:
            out.append(line)
        at += 1
    return "\n".join(out).strip()


def entries(body: list[str]) -> Iterator[str]:
    """A list of ``name: what it is``, with what goes on over lines joined."""
    items: list[str] = []
    for line in filter(str.strip, body):
        match = ENTRY.fullmatch(line.strip())
        if match and not line.startswith("     "):
            items.append(f"- `{match[1].replace(', ', '`, `')}`: {match[2]}")
        elif items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(f"- {line.strip()}")
    yield from items
    yield ""


def _indented(lines: list[str], start: int) -> Iterator[str]:
    for line in lines[start:]:
        if line and not line.startswith("    "):
            return
        yield line


def _trimmed(body: list[str]) -> list[str]:
    while body and not body[-1]:
        body = body[:-1]
    return body


if __name__ == "__main__":
    PAGE.write_text(page())
