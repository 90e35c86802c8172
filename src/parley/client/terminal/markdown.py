"""Markdown that grows: where its closed blocks end, and how a block looks as lines of a terminal."""

from io import StringIO
from typing import Any

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown
from rich.theme import Theme

from parley.client.terminal.clean import clean

# HTML is text like any other: rich would leave it out silently.
_parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")

# On the terminal's own background, whatever it is.
THEME = Theme({"markdown.code": "bold cyan", "markdown.code_block": "cyan"})
CODE_THEME = "ansi_dark"


def closed(text: str) -> int:
    """How many characters at the beginning of a text are blocks that nothing behind them can change any more.

    The last block of whole lines stays open, and so does a line that may still grow: it may become part of the block.
    """
    whole = text.rfind("\n") + 1
    starts = [token.map[0] for token in _parser.parse(text[:whole]) if token.level == 0 and token.map]
    if len(set(starts)) < 2:
        return 0
    return sum(len(line) for line in text[:whole].splitlines(keepends=True)[: starts[-1]])


class _PlainHeading(Heading):
    """A heading on the left, bold; no boxes."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        self.text.stylize("bold underline" if self.tag == "h1" else "bold")
        yield self.text


class _Document(Markdown):
    elements = {**Markdown.elements, "heading_open": _PlainHeading}  # noqa: RUF012  (as in the parent)

    def __init__(self, text: str, references: dict[str, Any]) -> None:
        # Links show where they lead: a hidden target is a trap.
        super().__init__("", code_theme=CODE_THEME, hyperlinks=False)
        self.markup = text
        self.parsed = _parser.parse(text, references)


class Renderer:
    """Renders the blocks of one answer, which may refer to each other's link definitions."""

    def __init__(self) -> None:
        self._references: dict[str, Any] = {}

    def lines(self, text: str, width: int) -> list[str]:
        """A piece of Markdown as lines with colours, none wider than `width` columns."""
        out = StringIO()
        console = Console(
            file=out, force_terminal=True, width=width, theme=THEME, highlight=False, legacy_windows=False
        )
        console.print(_Document(text, self._references))
        lines = [line.rstrip(" ") for line in out.getvalue().split("\n")]
        # The space between blocks is the screen's, one line; tables and code come with some of their own.
        written = [at for at, line in enumerate(lines) if clean(line).strip()]
        return lines[written[0] : written[-1] + 1] if written else []
