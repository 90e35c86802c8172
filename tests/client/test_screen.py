"""What is drawn is what stands: on a terminal that scrolls, at any speed, after any rewind."""

import io
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.client.terminal.markdown import Renderer, closed
from parley.client.terminal.screen import BareScreen, Canvas, MarkdownScreen, draws

ROWS, COLUMNS = 8, 41
MOVE = re.compile(r"\x1b\[(\d+)A|\x1b\[J|\x1b\[[0-9;]*m|\r|\n|[^\x1b\r\n]+")


class Glass(io.StringIO):
    """A terminal of a few rows: what has scrolled away cannot be changed any more."""

    def __init__(self, rows: int = ROWS) -> None:
        super().__init__()
        self.rows = rows
        self.lines = [""]
        self.row = self.column = 0
        self.written = 0

    def write(self, text: str) -> int:
        self.written += len(text)
        for match in MOVE.finditer(text):
            word = match[0]
            if match[1]:
                top = max(len(self.lines) - self.rows, 0)
                self.row = max(self.row - int(match[1]), top)
            elif word == "\x1b[J":
                del self.lines[self.row + 1 :]
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif word == "\r":
                self.column = 0
            elif word == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.lines):
                    self.lines.append("")
            elif not word.startswith("\x1b"):
                line = self.lines[self.row]
                self.lines[self.row] = line[: self.column].ljust(self.column) + word + line[self.column + len(word) :]
                self.column += len(word)
        return len(text)

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines[:-1]]


def size() -> tuple[int, int]:
    return COLUMNS, ROWS


def whole(text: str) -> list[str]:
    """What a text looks like when it is drawn once, at its end."""
    glass = Glass(rows=10_000)
    screen = MarkdownScreen(glass, lambda: (COLUMNS, 10_000))
    screen.add(text)
    screen.finish("")
    return glass.shown


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), max_size=5), max_size=8))
def test_lines_are_replaced_in_place(steps: list[list[str]]) -> None:
    glass = Glass()
    canvas = Canvas(glass, size)
    for lines in steps:
        canvas.show(lines)
        assert glass.shown == lines
    canvas.settle()
    canvas.show(["below"])
    assert glass.shown == [*(steps[-1] if steps else []), "below"]


@given(st.lists(st.lists(st.sampled_from(["a", "b"]), min_size=5, max_size=20), max_size=6))
def test_what_scrolled_away_and_changed_is_shown_again(steps: list[list[str]]) -> None:
    glass = Glass()
    canvas = Canvas(glass, size)
    for lines in steps:
        canvas.show(lines)
    canvas.settle()
    last = steps[-1] if steps else []
    if glass.shown != last:
        mark = next(at for at, line in enumerate(glass.shown) if line.startswith("(what"))
        kept = len(last) - (len(glass.shown) - mark - 1)
        assert glass.shown[:kept] == last[:kept]
        assert glass.shown[mark + 1 :] == last[kept:]


BLOCK = st.sampled_from(
    [
        "# Title\n\n",
        "A paragraph of *some* words that is longer than the terminal is wide, so it wraps.\n\n",
        "- one\n- two\n  - deep\n\n- loose\n\n",
        "1. first\n2. second\n\n",
        "```python\nprint('x')\n\nprint('y')\n```\n\n",
        "> quoted\n> twice\n\n",
        "| a | b |\n|---|--:|\n| 1 | 2 |\n\n",
        "---\n\n",
        "<script>alert(1)</script>\n\n",
        "[text](http://example.org) ![picture](x.png)\n\n",
        "Setext\n======\n\n",
        "    indented code\n\n",
    ]
)


@given(st.lists(BLOCK, max_size=4).map("".join), st.data())
def test_closed_blocks_stay_as_they_are_whatever_comes(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    end = closed(text[:at])
    assert end <= at
    if end:
        renderer = Renderer()
        head = renderer.lines(text[:end], 40)
        assert renderer.lines(text, 40)[: len(head)] == head


@settings(max_examples=60, deadline=None)
@given(st.lists(BLOCK, max_size=5).map("".join), st.lists(st.integers(1, 30), max_size=30))
def test_an_answer_drawn_in_pieces_looks_as_if_drawn_at_once(text: str, steps: list[int]) -> None:
    glass = Glass(rows=10_000)
    screen = MarkdownScreen(glass, lambda: (COLUMNS, 10_000))
    at = 0
    for step in steps:
        screen.add(text[at : at + step])
        screen.draw()
        at += step
    screen.add(text[at:])
    screen.finish("")
    once = MarkdownScreen(straight := Glass(rows=10_000), lambda: (COLUMNS, 10_000))
    once.add(text)
    once.finish("")
    assert [line for line in glass.shown if line] == [line for line in straight.shown if line]


def test_an_open_block_taller_than_the_terminal_scrolls_and_nothing_is_lost() -> None:
    glass = Glass()
    screen = MarkdownScreen(glass, size)
    screen.add("```\n")
    for number in range(40):
        screen.add(f"line {number}\n")
        screen.draw()
    screen.add("```\n")
    screen.finish("12 tok")
    assert [line.strip() for line in glass.shown if line.strip()] == [*(f"line {n}" for n in range(40)), "12 tok"]


def test_a_rewind_is_drawn_over_also_across_blocks() -> None:
    glass = Glass(rows=60)
    screen = MarkdownScreen(glass, lambda: (COLUMNS, 60))
    screen.add("# One\n\nTwo wrong\n\nThree wrong\n\nFour")
    screen.draw()
    screen.rewind(len("# One\n\nTwo "))
    screen.add("right\n\nEnd")
    screen.draw()
    screen.finish("")
    assert glass.shown == ["One", "", "Two right", "", "End"]


def test_a_note_stands_above_the_open_block_and_the_footer_below() -> None:
    glass = Glass(rows=60)
    screen = MarkdownScreen(glass, lambda: (COLUMNS, 60))
    screen.status("waiting")
    screen.draw()
    assert glass.shown == ["waiting"]
    screen.add("One\n\nTwo\n\nThree ha")
    screen.draw()
    screen.note("away")
    screen.add("lf\n")
    screen.draw()
    screen.finish("3 tok")
    assert glass.shown == ["One", "away", "", "Two", "", "Three half", "3 tok"]


def test_a_terminal_of_another_width_begins_anew_with_the_open_block() -> None:
    columns = [COLUMNS]
    glass = Glass(rows=60)
    screen = MarkdownScreen(glass, lambda: (columns[0], 60))
    screen.add("One\n\nTwo\n\nThree ")
    screen.draw()
    columns[0] = 60
    screen.add("and four\n\nFive")
    screen.finish("")
    assert [line for line in glass.shown if line] == ["One", "Two", "Three", "Two", "Three and four", "Five"]


def test_links_show_where_they_lead_and_html_is_text() -> None:
    text = "[here](http://evil.example) <b>bold</b>\n\n<script>x</script>\n"
    shown = "\n".join(whole(text))
    assert "http://evil.example" in shown
    assert "<b>bold</b>" in shown
    assert "<script>x</script>" in shown
    assert "]8;" not in "".join(Renderer().lines(text, 80))


def test_drawing_costs_what_is_new_not_what_there_is() -> None:
    glass = Glass(rows=40)
    screen = MarkdownScreen(glass, lambda: (COLUMNS, 40))
    paragraph = "Some words and **some more** of them.\n\n"
    for _ in range(100):
        for at in range(0, len(paragraph), 4):
            screen.add(paragraph[at : at + 4])
            screen.draw()
    screen.finish("")
    assert glass.written < 100 * len(paragraph) * 12


def test_bare_text_is_what_was_written() -> None:
    out, notes = io.StringIO(), io.StringIO()
    screen = BareScreen(out, notes)
    for piece in ("# a\x1b[3", "1m b", "\nc"):
        screen.add(piece)
        screen.status("thinking")
        screen.draw()
    screen.note("away")
    screen.add("d")
    screen.finish("3 tok")
    assert (out.getvalue(), notes.getvalue()) == ("# a b\nc\nd\n", "away\n3 tok\n")


@pytest.mark.parametrize(
    ("terminal", "environment", "plain", "drawn"),
    [
        (True, {}, False, True),
        (False, {}, False, False),
        (True, {}, True, False),
        (True, {"NO_COLOR": "1"}, False, False),
        (True, {"NO_COLOR": ""}, False, True),
        (True, {"TERM": "dumb"}, False, False),
    ],
)
def test_only_a_terminal_that_wants_it_is_drawn_on(
    terminal: bool, environment: dict[str, str], plain: bool, drawn: bool
) -> None:
    read, write = os.openpty() if terminal else os.pipe()
    with open(write, "w") as out:
        assert draws(out, environment, plain=plain) is drawn
    os.close(read)
