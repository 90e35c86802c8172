"""What a fault test measured: one JSON object a line, appended to the file that PARLEY_FIGURES names.

    figure("F02", gap_ms=77)     {"fault": "F02", "test": "tests/system/test_takeover.py::...", "gap_ms": 77}

Names end in their unit (`_ms`, `_s`, `_bytes`) or count something.
"""

import json
import os
import time
from pathlib import Path

from parley import AsyncReply

Value = int | float | str


async def silence(reply: AsyncReply) -> float:
    """Follow a reply to its end. Replies for how many seconds nothing of it came at most."""
    longest, heard = 0.0, time.monotonic()
    async for _ in reply:
        now = time.monotonic()
        longest, heard = max(longest, now - heard), now
    return longest


def figure(fault: str, **values: Value) -> None:
    """Print what was measured of a row of the catalogue, and append it to the file if one is named."""
    told = {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    print(f"\n{fault} {' '.join(f'{name}={value}' for name, value in told.items())}")
    if path := os.environ.get("PARLEY_FIGURES"):
        with Path(path).open("a") as file:
            file.write(json.dumps({"fault": fault, "test": test, **told}) + "\n")
