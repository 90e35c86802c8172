"""A flaw: something that a user of Parley must never see."""

import re
from collections import Counter
from itertools import pairwise
from typing import Literal

from msgspec import Struct

Kind = Literal["lost", "repeated", "out of order", "wrong"]


class Flaw(Struct):
    """What was seen, and which promise it breaks; "wrong" is whatever is none of the other three."""

    kind: Kind
    what: str


def flaws_of(text: str, tag: str, count: int) -> list[Flaw]:
    """What is wrong with a whole answer to ``say COUNT tag=TAG`` (`parley.testing.script`)."""
    tokens: list[tuple[str, str]] = re.findall(rf"{re.escape(tag)}(\.r\d+)?:(\d+) ", text)
    seen = [int(at) for _, at in tokens]
    times = Counter(seen)
    found: list[Flaw] = []
    if missing := [at for at in range(count) if at not in times]:
        found.append(Flaw("lost", f"{tag}: {len(missing)} of {count} tokens are missing, the first is {missing[0]}"))
    if again := [at for at in times if times[at] > 1]:
        found.append(Flaw("repeated", f"{tag}: {len(again)} tokens are there more than once, the first is {again[0]}"))
    if any(after < before for before, after in pairwise(times)):
        found.append(Flaw("out of order", f"{tag}: {seen}"))
    if max(seen, default=0) > count - 1 or len(text) != sum(len(f"{tag}{run}:{at} ") for run, at in tokens):
        found.append(Flaw("wrong", f"{tag}: text that the model never said: {text[-80:]!r}"))
    if len({run for run, _ in tokens}) > 1:
        found.append(Flaw("wrong", f"{tag}: two answers in one: {text[-80:]!r}"))
    return found
