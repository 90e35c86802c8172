"""X34: a server that goes takes all its clients with it; when it is back they do not come at one moment."""

import random
import re
from collections import Counter
from pathlib import Path

import parley
from parley.client.backoff import LEAST, MOST, pause

SCRIPT = Path(parley.__file__).parent / "server" / "page" / "js" / "socket.js"
CLIENTS = 1_000


def page_pause(attempt: int, chance: float) -> float:
    """The page's pause, as socket.js has it."""
    return LEAST / 4 + chance * (min(MOST, LEAST * 2.0 ** min(attempt, 20)) - LEAST / 4)


def test_the_page_waits_like_the_library() -> None:
    text = SCRIPT.read_text()
    found = re.search(r"const SHORTEST = ([\d_]+);\nconst LONGEST = ([\d_]+);", text)
    assert found is not None
    assert [int(each.replace("_", "")) / 1000 for each in found.groups()] == [LEAST, MOST]
    assert "const most = Math.min(LONGEST, SHORTEST * 2 ** Math.min(attempt + 1, 20));" in text
    assert "return SHORTEST / 4 + random * (most - SHORTEST / 4);" in text
    assert "backoff(this.attempt, Math.random())" in text


def test_a_thousand_clients_come_back_one_after_the_other() -> None:
    """The peak of what arrives in a moment is at most three times that of clients that come evenly.

    For a server that was not away at all, for some seconds, and for a minute; by the clients' own function of
    number and chance, as the clocks of a thousand real ones on one machine would tell of the machine.
    """
    for wait in (pause, page_pause):
        for away, moment in ((0.0, 0.02), (5.0, 0.1), (60.0, 0.1)):
            draw = random.Random(1)
            arrivals: Counter[int] = Counter()
            for _ in range(CLIENTS):
                clock, attempt = wait(1, draw.random()), 1
                while clock <= away:
                    attempt += 1
                    clock += wait(attempt, draw.random())
                arrivals[int((clock - away) / moment)] += 1
            last = max(arrivals) + 1
            assert last <= MOST / moment + 1
            evenly = CLIENTS / max(last, 1)
            assert max(arrivals.values()) <= 3 * evenly, (wait.__name__, away, arrivals)
            assert sum(arrivals.values()) == CLIENTS
