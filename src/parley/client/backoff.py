"""How long to wait before trying again: full jitter, so that a thousand clients do not come back at once."""

LEAST = 0.2
MOST = 10.0


def pause(attempt: int, chance: float) -> float:
    """Seconds before the next try.

    Args:
        attempt: failures so far, from 1.
        chance: a random number from 0 to 1.
    """
    ceiling = min(MOST, LEAST * 2.0 ** min(attempt, 16))
    return LEAST / 4 + (ceiling - LEAST / 4) * chance
