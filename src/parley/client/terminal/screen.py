"""How an answer comes to the screen: drawn as Markdown while it grows, or as bare text."""

import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from parley.client.terminal.clean import Cleaner, clean
from parley.client.values import Turn

GREY, RESET = "\x1b[90m", "\x1b[0m"
UP, ERASE_BELOW = "\x1b[{}A", "\x1b[J"


class Screen(Protocol):
    """Where one answer is shown. Call `draw` when something changed, `finish` at its end."""

    def add(self, text: str) -> None:
        """More text."""

    def rewind(self, length: int) -> None:
        """Only the first `length` characters of the answer stand."""

    def status(self, text: str) -> None:
        """What is going on, until something else is; "" for nothing."""

    def note(self, text: str) -> None:
        """Something to know, for good."""

    def draw(self) -> None:
        """Bring the screen up to date."""

    def forget(self) -> None:
        """Others wrote beneath: what is shown stays as it is, what is open is drawn anew."""

    def finish(self, footer: str) -> None:
        """The answer is whole; `footer` goes under it."""


class BareScreen:
    """The text as it is, without control sequences, each piece at once.

    Text that was printed cannot be withdrawn: then the whole answer is printed again, and a note says so.
    """

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes
        self._text = ""
        self._cleaner = Cleaner()
        self._line_open = False

    def add(self, text: str) -> None:
        self._text += text
        self._print(self._cleaner.feed(text))

    def rewind(self, length: int) -> None:
        self._text = self._text[:length]
        self.note("The model was lost and answers differently. What stands above is void; the whole answer:")
        self._cleaner = Cleaner()
        self._print("\n" + self._cleaner.feed(self._text))

    def status(self, text: str) -> None:
        """Bare text has no place for it."""

    def note(self, text: str) -> None:
        if self._line_open:
            self._print("\n")
        print(clean(text), file=self._notes, flush=True)

    def draw(self) -> None:
        self._out.flush()

    def forget(self) -> None:
        """Bare text goes on wherever it is."""

    def finish(self, footer: str) -> None:
        self._print(self._cleaner.end())
        if self._line_open:
            self._print("\n")
        if footer:
            print(clean(footer), file=self._notes, flush=True)
        self._out.flush()

    def _print(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._line_open = not text.endswith("\n")


class Canvas:
    """Lines at the bottom of a terminal that can be replaced. Only what differs is written.

    What has scrolled off the top cannot be reached any more. Where it should have changed, `settle` prints
    everything from there on once more.
    """

    def __init__(self, out: TextIO, size: Callable[[], tuple[int, int]]) -> None:
        self._out = out
        self._size = size
        self._there: list[str] = []  # what the terminal shows
        self._wanted: list[str] = []

    def show(self, lines: list[str], same: int = 0) -> None:
        """Make the lines be what is shown; the first `same` are what they were."""
        there = self._there
        both = min(len(lines), len(there))
        first = next((at for at in range(min(same, both), both) if lines[at] != there[at]), both)
        first = max(first, len(there) - (self._size()[1] - 1))
        back = len(there) - first
        self._wanted = list(lines)
        if back or first < len(lines):
            move = UP.format(back) + "\r" + ERASE_BELOW if back else ""
            self._out.write(move + "".join(line + "\n" for line in lines[first:]))
            self._out.flush()
            self._there = there[:first] + lines[first:]

    def settle(self) -> None:
        """These lines are for good."""
        there, wanted = self._there, self._wanted
        self.forget()
        if there != wanted:
            pairs = enumerate(zip(there, wanted, strict=False))
            first = next((at for at, (one, other) in pairs if one != other), min(len(there), len(wanted)))
            self._out.write(grey("(what had scrolled away has changed; again from there)") + "\n")
            self._out.write("".join(line + "\n" for line in wanted[first:]))
        self._out.flush()

    def forget(self) -> None:
        """What is shown stays as it is."""
        self._there, self._wanted = [], []


class MarkdownScreen:
    """Draws Markdown while it grows: closed blocks once, only the open one again."""

    def __init__(self, out: TextIO, size: Callable[[], tuple[int, int]]) -> None:
        from parley.client.terminal.markdown import Renderer, closed

        self._closed_end = closed
        self._renderer = Renderer()
        self._canvas = Canvas(out, size)
        self._size = size
        self._out = out
        self._text = ""
        self._status = "…"
        self._width = 0
        self._at = 0  # characters in closed blocks
        self._lines: list[str] = []  # of closed blocks, and notes between them
        self._drawn = 0  # how many of them are on the canvas

    def add(self, text: str) -> None:
        self._text += text
        self._status = ""

    def rewind(self, length: int) -> None:
        self._text = self._text[:length]
        if length < self._at:
            self._at, self._lines, self._drawn = 0, [], 0

    def status(self, text: str) -> None:
        self._status = text

    def note(self, text: str) -> None:
        # Above the open block, which goes on beneath.
        self._lines.append(grey(text))
        self.draw()

    def draw(self) -> None:
        width = max(self._size()[0] - 1, 20)
        if width != self._width:
            if self._width:
                self.forget()
            self._width = width
        closed = self._closed_end(self._text[self._at :])
        if closed:
            self._lines += self._block(self._text[self._at : self._at + closed])
            self._at += closed
        lines = self._lines + self._block(self._text[self._at :])
        if self._status:
            lines = [*lines, grey(self._status)]
        self._canvas.show(lines, self._drawn)
        self._drawn = len(self._lines)

    def forget(self) -> None:
        # Closed blocks stand above the canvas now, as they were.
        self._canvas.forget()
        self._lines, self._drawn = [], 0

    def finish(self, footer: str) -> None:
        self._status = ""
        self.draw()
        self._canvas.settle()
        if footer:
            self._out.write(grey(footer) + "\n")
        self._out.flush()

    def _block(self, text: str) -> list[str]:
        shown = clean(text)
        if not shown.strip():
            return []
        lines = self._renderer.lines(shown, self._width)
        return ["", *lines] if self._at else lines


def grey(text: str) -> str:
    """One line in grey."""
    return f"{GREY}{clean(text)}{RESET}"


class Notes:
    """Lines between the answers: what there is to know, in grey, and complaints."""

    def __init__(self, *, grey: bool, quiet: bool) -> None:
        self._grey = grey
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Something to know; not for those who want answers and nothing else."""
        if not self._quiet:
            print(grey(text) if self._grey else clean(text), flush=True)

    def complain(self, text: str) -> None:
        """Something that went wrong."""
        print(f"parley: {clean(text)}", file=sys.stderr, flush=True)


def terminal_size() -> tuple[int, int]:
    """Columns and rows."""
    import shutil

    return shutil.get_terminal_size()


def draws(out: TextIO, environment: dict[str, str], *, plain: bool) -> bool:
    """Whether an answer is drawn, or goes out as bare text."""
    return out.isatty() and not plain and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def past(turn: Turn, *, drawn: bool) -> None:
    """Print a turn that was before: the question, the answer as far as it goes."""
    print("\n".join(f"> {line}" for line in clean(turn.question).splitlines()))
    shown = screen(drawn=drawn)
    shown.add(turn.text)
    shown.finish("" if turn.status == "completed" else f"({turn.status})")
    print()


def screen(*, drawn: bool) -> Screen:
    """A screen for one answer on standard output."""
    return MarkdownScreen(sys.stdout, terminal_size) if drawn else BareScreen(sys.stdout, sys.stderr)
