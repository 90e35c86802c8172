"""The catalogue of bad input as values: each row says what is sent and what must come back.

The rows are in ``catalogue/*.toml``, one a line, in tables whose fields hold for all rows of theirs:

    id        of section 9 of the reliability notes (B01 to B86), or another letter where it has none
    what      is wrong, in a few words, where it does not show
    send      ``METHOD /path``; `headers` and `body` go with it, and `as` says who sends it: owner, session, nobody
    raw       lines of a request as they stand, joined by CRLF, then an empty one and `body`
    upgrade   the path of a socket, with `headers` in place of the usual ones
    frames    to send on a socket, which is at `path`, as `as`
    told_by   tests that tell the row where a line cannot: ``tests/….py::test_…``

    each      of a table: values for ``{{each}}`` in its rows, so that every row is as many tests

    status, code, param     of the answer; `shape`: the form of its error (tests.badinput.shapes)
    answers, close          what comes on a socket: frames, and the code it is closed with

Texts hold ``{{…}}``: ``{{3 * "ab"}}``, with ``join ","`` if wanted; ``{{bytes ff fe}}``; and names of what is there
(`conversation`, `turn`, `host` and others of tests.badinput.place).
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

HERE = Path(__file__).parent / "catalogue"

PIECE = re.compile(r"""\{\{((?:"(?:[^"\\]|\\.)*"|'[^']*'|[^{}"'])+)\}\}""")
REPEATED = re.compile(r"(\d+) \* (\"(?:[^\"\\]|\\.)*\"|'[^']*')(?: join '(.*)')?", re.DOTALL)


class Row(Struct, frozen=True, forbid_unknown_fields=True, rename={"caller": "as"}):
    """One row."""

    id: str
    what: str = ""
    file: str = ""
    send: str = ""
    raw: list[str] = []
    upgrade: str = ""
    path: str = ""
    frames: list[str] = []
    headers: dict[str, str] = {}
    body: str | None = None
    encoding: str = "utf-8"
    caller: str = "owner"
    shape: str = "envelope"
    status: int = 0
    code: str = ""
    param: str = ""
    answers: list[str] = []
    close: int = 0
    chop: int = 0  # bytes of each write; 0: all at once
    told_by: list[str] = []

    @property
    def name(self) -> str:
        """What the test is called by."""
        what = self.what or self.send or self.upgrade or " ".join(self.frames)
        return re.sub(r"[^\x21-\x7e]+", "-", f"{self.file} {self.id} {what}")[:80]


def rows() -> Iterator[Row]:
    """All rows of all files."""
    for path in sorted(HERE.glob("*.toml")):
        for group in tomllib.loads(path.read_text("utf-8")).values():
            common = {name: value for name, value in group.items() if name not in ("rows", "each")}
            for row in group["rows"]:
                made = msgspec.convert({"file": path.stem, **common, **row}, Row)
                yield from [made] if "each" not in group else (_with(made, each) for each in group["each"])


def _with(row: Row, each: str) -> Row:
    """The row with one of a group's values in it."""
    filled: Row = msgspec.convert(_fill(msgspec.to_builtins(row), each), Row)
    return msgspec.structs.replace(filled, what=f"{row.what or row.send or row.upgrade} {each}"[:80])


def _fill(value: Any, each: str) -> Any:
    if isinstance(value, str):
        return value.replace("{{each}}", each)
    if isinstance(value, list):
        return [_fill(inner, each) for inner in value]
    return {name: _fill(inner, each) for name, inner in value.items()} if isinstance(value, dict) else value


def expand(text: str, names: Mapping[str, str], encoding: str = "utf-8") -> bytes:
    """A text with its ``{{…}}`` filled in, as bytes.

    Raises:
        KeyError: a name that is none.
    """
    made = bytearray()
    at = 0
    for match in PIECE.finditer(text):
        made += text[at : match.start()].encode(encoding)
        made += _piece(match[1], names)
        at = match.end()
    return bytes(made) + text[at:].encode(encoding)


def _piece(inner: str, names: Mapping[str, str]) -> bytes:
    if inner.startswith("bytes "):
        return bytes.fromhex(inner.removeprefix("bytes "))
    repeated = REPEATED.fullmatch(inner)
    if repeated is None:
        return names[inner].encode()
    unit: Any = json.loads(repeated[2]) if repeated[2][0] == '"' else repeated[2][1:-1]
    return (repeated[3] or "").join([unit] * int(repeated[1])).encode()
