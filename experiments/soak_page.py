"""What a soak's table says: slopes of everything that must not grow, and a plot.

    python experiments/soak_page.py experiments/soak.csv

Writes soak.svg and adds the slopes to soak.json beside it. A slope is Theil and Sen's: the median of the slopes between
all pairs of rows, of the second half of the time under load; it takes no notice of a few wild rows.
"""

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import svg

Row = dict[str, float]

# What must not grow, and what one unit of it is. Memory is resident: how much is shared is up to other programs too.
COLUMNS = {
    "web rss": 1e6,
    "worker rss": 1e6,
    "supervisor rss": 1e6,
    "redis rss": 1e6,
    "used memory": 1e6,
    "aof": 1e6,
    "keys": 1,
    "consumers": 1,
    "web files": 1,
    "worker files": 1,
    "supervisor files": 1,
    "redis files": 1,
}
PLOTTED = ("web rss", "worker rss", "supervisor rss", "redis rss", "used memory")
WIDTH, HEIGHT, LEFT, TOP, RIGHT = 760, 300, 48, 46, 130
# Pairs of so many rows at most: every n-th is taken.
MOST = 200


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Theil and Sen's slope, an hour."""
    step = max(1, len(times) // MOST)
    points = list(zip(times[::step], values[::step], strict=True))
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) * 3600 for a, b in combinations(points, 2))


def loaded(rows: Sequence[Row]) -> list[Row]:
    """The rows under load: until nothing more was accepted."""
    last = rows[-1]["accepted"]
    return [row for row in rows if row["accepted"] < last]


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """For each column: where it stood half-way and at the end (medians of a tenth), and its slope an hour."""
    later = [row for row in rows if row["s"] > rows[-1]["s"] / 2]
    tenth = max(1, len(later) // 5)
    found = {}
    for name, unit in COLUMNS.items():
        values = [row[name] / unit for row in later]
        times = [row["s"] for row in later]
        found[name] = {
            "half-way": round(statistics.median(values[:tenth]), 2),
            "end": round(statistics.median(values[-tenth:]), 2),
            "an hour": round(slope(times, values), 3),
        }
    return found


def plot(rows: Sequence[Row]) -> str:
    """Memory over time as SVG, in MB and minutes."""
    most = max(row[name] / 1e6 for row in rows for name in PLOTTED) * 1.1
    end = rows[-1]["s"]
    across, down = (WIDTH - LEFT - RIGHT) / end, (HEIGHT - TOP - 30) / most

    def x(seconds: float) -> float:
        return LEFT + seconds * across

    def y(value: float) -> float:
        return HEIGHT - 30 - value * down

    drawn = []
    for mark in range(0, int(most) + 1, 10):
        drawn.append(f"<line x1='{LEFT}' y1='{y(mark):.1f}' x2='{WIDTH - RIGHT}' y2='{y(mark):.1f}' stroke='#ddd'/>")
        drawn.append(f"<text x='{LEFT - 6}' y='{y(mark) + 4:.1f}' text-anchor='end'>{mark}</text>")
    drawn += [
        f"<text x='{x(mark * 60):.1f}' y='{HEIGHT - 12}' text-anchor='middle'>{mark}</text>"
        for mark in range(0, int(end / 60) + 1, 10)
    ]
    for at, name in enumerate(PLOTTED):
        points = " ".join(f"{x(row['s']):.1f},{y(row[name] / 1e6):.1f}" for row in rows)
        colour = svg.COLOURS[at % 6]
        drawn.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
        drawn.append(f"<text x='{WIDTH - RIGHT + 8}' y='{TOP + 18 * at + 12}' fill='{colour}'>{name}</text>")
    title = "Memory of the parts that live through the soak (MB, minutes)"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' {svg.STYLE}>"
    back = f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/><text x='8' y='16' font-weight='bold'>{title}</text>"
    return "\n".join([head, f"<title>{title}</title>", back, *drawn, "</svg>", ""])


def main() -> None:
    """Draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    path: Path = parser.parse_args().table
    with path.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    busy = loaded(rows)
    path.with_suffix(".svg").write_text(plot(rows))
    beside = path.with_suffix(".json")
    told = json.loads(beside.read_text()) if beside.exists() else {}
    told |= {"minutes": round(busy[-1]["s"] / 60), "turns": int(rows[-1]["ended"]), "columns": figures(busy)}
    beside.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told["columns"], indent=1))


if __name__ == "__main__":
    main()
