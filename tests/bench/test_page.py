"""docs/performance.md: written from the results by a script, and not out of date."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_results_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "page.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_its_plots_are_pictures() -> None:
    plots = list((ROOT / "docs" / "performance").glob("*.svg"))
    assert plots
    for plot in plots:
        assert ElementTree.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_what_is_told_of_the_page_is_what_the_results_say() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "browser_page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
