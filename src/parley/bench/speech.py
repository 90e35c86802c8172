"""What the deterministic upstream is asked and what it says. Pure.

    bench tokens=100 delay=0.02 tag=c12

says ``c12:00000 c12:00001 ... c12:00099 ``, the token at position k due k times 0.02 s after the request. Every token
of a reply has the same width, so a position in the text tells which token it belongs to.
"""

import re

from msgspec import Struct

WORDS = "bench"
ASKED = re.compile(WORDS + r" tokens=(\d{1,5}) delay=(\d+(?:\.\d+)?) tag=(\w{1,40})")


class Ask(Struct, frozen=True):
    """One reply: how many tokens, seconds from one to the next, and the tag that makes its text its own."""

    tokens: int
    delay: float
    tag: str

    @property
    def message(self) -> str:
        """The user's message that asks for it."""
        return f"{WORDS} tokens={self.tokens} delay={self.delay:.6f} tag={self.tag}"

    @property
    def width(self) -> int:
        """Characters of each token."""
        return len(self.tag) + 7

    @property
    def text(self) -> str:
        """The whole reply."""
        return "".join(self.all_tokens())

    def all_tokens(self) -> list[str]:
        """The tokens in order."""
        return [f"{self.tag}:{at:05d} " for at in range(self.tokens)]


def asked(message: str) -> Ask | None:
    """What a message asks for; None: it is not of ours."""
    found = ASKED.search(message)
    if found is None:
        return None
    return Ask(int(found[1]), float(found[2]), found[3])
