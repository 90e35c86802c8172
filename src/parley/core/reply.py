"""A reply as its owner writes it: all the bytes of this generation, and how many of them the log has.

Two ways to begin. A fresh or continued reply goes on behind what stands. A reply that is *regenerated* behind text
people have seen stays quiet while the new text equals the shown text; at the first difference the shown text is
rewound to there, once, and the reply goes on live. Two answers are never glued.
"""

from collections.abc import Iterator

from parley.core.pieces import CHANNELS, LETTERS, Channel, Piece, cut


class Runs:
    """Bytes with a channel each, kept as one string and the offsets where the channel changes."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.switches: list[tuple[int, str]] = []  # (offset, letter): from here on the channel is this

    def add(self, text: str, channel: Channel = "text") -> None:
        """Add text behind what there is."""
        letter = LETTERS[channel]
        if text and (not self.switches or self.switches[-1][1] != letter):
            self.switches.append((len(self.body), letter))
        self.body += text.encode()

    def since(self, offset: int) -> Iterator[tuple[str, bytes]]:
        """The runs from a byte offset on: letter and bytes of each."""
        for number, (start, letter) in enumerate(self.switches):
            end = self.switches[number + 1][0] if number + 1 < len(self.switches) else len(self.body)
            if end > offset:
                yield letter, bytes(self.body[max(start, offset) : end])

    def text(self, channel: Channel = "text") -> str:
        """The whole text of one channel."""
        return b"".join(run for letter, run in self.since(0) if CHANNELS[letter] == channel).decode()


def divergence(shown: Runs, new: Runs) -> int | None:
    """Where `new` first differs from `shown`: a byte offset where a character begins in both, or None so far.

    While `new` is a beginning of `shown`, or `shown` of `new`, they do not differ.
    """
    common = min(len(shown.body), len(new.body))
    ours = [switch for switch in shown.switches if switch[0] < common]
    theirs = [switch for switch in new.switches if switch[0] < common]
    limit = common
    if ours != theirs:
        paired = zip(ours, theirs, strict=False)
        odd = next((min(one[0], two[0]) for one, two in paired if one != two), None)
        rest = (ours if len(ours) > len(theirs) else theirs)[min(len(ours), len(theirs)) :]
        limit = odd if odd is not None else rest[0][0]
    if shown.body[:limit] == new.body[:limit]:
        return limit if limit < common else None
    low, high = 0, limit  # the first differing byte lies in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shown.body[:middle] == new.body[:middle] else (low, middle)
    # What came before is the same in both, so one of them tells where the character begins.
    while low and (shown.body[low] & 0xC0) == 0x80:
        low -= 1
    return low


class Reply:
    """A reply in progress.

    Attributes:
        generation: counts rewinds, from 1.
        sent: how many bytes the log is known to have.
        shown: what people see of an earlier try, while this one is compared with it in silence; else None.
    """

    def __init__(self, body: str = "", pieces: str = "", generation: int = 1, *, regenerate: bool = False) -> None:
        self.generation = generation
        self.runs = Runs()
        self.shown: Runs | None = None
        stands = Runs()
        for piece in cut(body, pieces):
            stands.add(piece.text, piece.channel)
        if regenerate and body:
            self.shown = stands
        else:
            self.runs = stands
        self.sent = len(stands.body)

    @property
    def length(self) -> int:
        """Bytes of the reply so far, sent or not."""
        return len(self.runs.body)

    @property
    def quiet(self) -> bool:
        """Whether the reply is still being compared with what an earlier try showed."""
        return self.shown is not None

    def add(self, piece: Piece) -> int | None:
        """Add a piece. Replies the offset to rewind to when it shows that this is another answer; else None."""
        self.runs.add(piece.text, piece.channel)
        if self.shown is None:
            return None
        offset = divergence(self.shown, self.runs)
        if offset is None and self.length >= len(self.shown.body):
            self.shown = None  # the same answer, whole: go on behind it
        return offset

    def ending(self) -> int | None:
        """The reply is whole. Replies the offset to rewind to when an earlier try had shown more; else None."""
        return self.length if self.shown is not None else None

    def rewound(self, offset: int, generation: int) -> None:
        """What was shown is withdrawn from `offset` on; from here on the reply is live."""
        self.shown = None
        self.sent = offset
        self.generation = generation

    def unsent(self) -> list[tuple[str, bytes]]:
        """What the log does not have yet: letter and bytes of each run. Nothing while quiet."""
        return [] if self.quiet else list(self.runs.since(self.sent))
