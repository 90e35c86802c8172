"""Plots as SVG: bars made of parts, and ranges on a logarithmic scale. Pure; no more than the page needs."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LABEL, RIGHT, ROW, TOP = 760, 250, 90, 22, 46
COLOURS = ("#3b6fb6", "#d98032", "#5a9e5a", "#9467ad", "#8c6d5a", "#7f7f7f")
STYLE = "font-family='system-ui,sans-serif' font-size='12'"


def number(value: float) -> str:
    """A number for people: three digits, whole from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bars(title: str, unit: str, rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """A bar a row, its parts side by side; the sum behind it."""
    parts = list(dict.fromkeys(name for _, values in rows for name in values))
    most = max((sum(values.values()) for _, values in rows), default=0) or 1
    scale = (WIDTH - LABEL - RIGHT) / most
    drawn = [_text(LABEL + 110 * at + 14, 36, name) for at, name in enumerate(parts) if len(parts) > 1]
    drawn += [_box(LABEL + 110 * at, 27, 10, 10, COLOURS[at % 6]) for at in range(len(parts)) if len(parts) > 1]
    for row, (label, values) in enumerate(rows):
        y, x = TOP + row * ROW, float(LABEL)
        drawn.append(_text(LABEL - 8, y + 12, label, anchor="end"))
        for name, value in values.items():
            drawn.append(
                _box(x, y, value * scale, ROW - 7, COLOURS[parts.index(name) % 6], f"{name}: {value:.4g} {unit}")
            )
            x += value * scale
        drawn.append(_text(x + 6, y + 12, number(sum(values.values()))))
    return _picture(f"{title} ({unit})", len(rows), drawn)


def ranges(title: str, unit: str, rows: Sequence[tuple[str, float, float]]) -> str:
    """A line a row from one value to a larger one (p50 to p99), on a logarithmic scale."""
    values = [value for _, low, high in rows for value in (low, high) if value > 0]
    floor, ceiling = math.floor(math.log10(min(values, default=1))), math.ceil(math.log10(max(values, default=10)))
    step = (WIDTH - LABEL - RIGHT) / max(1, ceiling - floor)

    def place(value: float) -> float:
        return LABEL + (math.log10(max(value, 10**floor)) - floor) * step

    drawn = []
    for exponent in range(floor, ceiling + 1):
        x, bottom = place(10**exponent), TOP + len(rows) * ROW
        drawn.append(f"<line x1='{x:.1f}' y1='{TOP - 6}' x2='{x:.1f}' y2='{bottom}' stroke='#bbb' stroke-width='0.5'/>")
        drawn.append(_text(x, 36, number(10**exponent), anchor="middle"))
    for row, (label, low, high) in enumerate(rows):
        y = TOP + row * ROW + 8
        drawn.append(_text(LABEL - 8, y + 4, label, anchor="end"))
        drawn.append(
            _box(place(low), y - 2, max(1.0, place(high) - place(low)), 4, COLOURS[0], f"{low:.4g}-{high:.4g} {unit}")
        )
        drawn.append(f"<circle cx='{place(low):.1f}' cy='{y}' r='5' fill='{COLOURS[0]}'/>")
        drawn.append(f"<circle cx='{place(high):.1f}' cy='{y}' r='5' fill='{COLOURS[1]}'/>")
        drawn.append(_text(place(high) + 9, y + 4, f"{number(low)} / {number(high)}"))
    return _picture(f"{title} ({unit}; p50 and p99)", len(rows), drawn)


def _picture(title: str, rows: int, drawn: Sequence[str]) -> str:
    height = TOP + rows * ROW + 8
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' {STYLE}>"
    back = f"<rect width='{WIDTH}' height='{height}' fill='white'/>"
    name = f"<text x='8' y='16' font-weight='bold'>{escape(title)}</text>"
    return "\n".join([head, f"<title>{escape(title)}</title>", back, name, *drawn, "</svg>", ""])


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(text)}</text>"


def _box(x: float, y: float, width: float, height: float, colour: str, said: str = "") -> str:
    inside = f"<title>{escape(said)}</title>" if said else ""
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height}' fill='{colour}'>{inside}</rect>"
