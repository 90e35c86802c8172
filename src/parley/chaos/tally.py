"""The tally: what was accepted against what was seen of it, and the verdict. Pure."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from parley.chaos.flaw import Flaw, flaws_of
from parley.chaos.plan import FAULTS, PARTS, ROLLBACKS, Fault, Part
from parley.chaos.talk import Talk

# Flaws told in words.
TOLD = 20

Hurt = Counter[tuple[Part, Fault]]


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of a run. Times are seconds; `frozen` is from a reply's last text before a takeover to its next, as a
    viewer saw it: over whatever server lived; `stopped` is the same by the log's clock: when it was written.

    `lost`, `repeated`, `out_of_order` and `wrong` count flaws: of them there may be none. `left` counts what is still
    in the queues. `forgotten` are the bytes that Redis was made to forget, `rollbacks` turns of which a viewer was
    shown less after Redis came back: told by a snapshot, whole again in the end. `outages` are connections of viewers
    that failed.
    """

    seed: int
    seconds: float
    accepted: int
    answered: int
    lost: int
    repeated: int
    out_of_order: int
    wrong: int
    left: int
    takeovers: int
    rewinds: int
    hurt: dict[Part, dict[Fault, int]]
    frozen_p50: float
    frozen_max: float
    stopped_p50: float
    stopped_max: float
    characters: int
    frames: int
    connections: int
    outages: int
    snapshots: int
    forgotten: int
    rollbacks: int
    replayed: int
    interrupted: bool
    flaws: list[str]

    @property
    def violations(self) -> int:
        """Promises broken."""
        return self.lost + self.repeated + self.out_of_order + self.wrong + bool(self.left)

    @property
    def tried(self) -> bool:
        """Whether anything was hurt, by us or visibly by others, and anything answered: else it means nothing."""
        return bool(self.hurt or self.takeovers or self.outages) and self.answered > 0

    @property
    def holds(self) -> bool:
        """Whether all promises were kept, and tried."""
        return self.tried and not self.violations and self.answered == self.accepted


def verdict(
    talks: Sequence[Talk],
    hurt: Hurt,
    *,
    seed: int,
    seconds: float,
    replayed: int = 0,
    left: int = 0,
    forgotten: int = 0,
    interrupted: bool = False,
    ours: bool = True,
    more: Sequence[Flaw] = (),
) -> Verdict:
    """Check everything that was seen.

    Args:
        ours: nobody but us did anything to any part.
        more: flaws that were found elsewhere.
    """
    flaws = [*more, *(flaw for talk in talks for flaw in flaws_seen(talk))]
    viewers = [viewer for talk in talks for viewer in talk.viewers]
    rollbacks = sum(viewer.rollbacks for viewer in viewers)
    if rollbacks and ours and not any(part == "redis" for part, _ in hurt):
        flaws.append(Flaw("lost", f"{rollbacks} turns were taken back though nothing happened to Redis"))
    kinds = Counter(flaw.kind for flaw in flaws)
    gaps = [gap for talk in talks for gap in talk.viewers[0].gaps]
    stops = [stop for talk in talks for stop in talk.viewers[0].stops]
    by_part = {
        part: {fault: hurt[part, fault] for fault in FAULTS}
        | {fault: hurt[part, fault] for fault in ROLLBACKS if hurt[part, fault]}
        for part in PARTS
        if any(part == each for each, _ in hurt)
    }
    return Verdict(
        seed=seed,
        seconds=round(seconds, 1),
        accepted=sum(len(talk.asked) for talk in talks),
        answered=sum(answered(talk, turn) for talk in talks for turn in talk.asked),
        lost=kinds["lost"],
        repeated=kinds["repeated"],
        out_of_order=kinds["out of order"],
        wrong=kinds["wrong"],
        left=left,
        takeovers=sum(talk.takeovers for talk in talks),
        rewinds=sum(turn.rewinds for viewer in viewers for turn in viewer.view.turns.values()),
        hurt=by_part,
        frozen_p50=round(statistics.median_high(gaps or [0.0]), 3),
        frozen_max=round(max(gaps, default=0.0), 3),
        stopped_p50=round(statistics.median_high(stops or [0.0]), 3),
        stopped_max=round(max(stops, default=0.0), 3),
        characters=sum(len(turn.body) for viewer in viewers for turn in viewer.view.turns.values()),
        frames=sum(viewer.frames for viewer in viewers),
        connections=sum(viewer.connections for viewer in viewers),
        outages=sum(viewer.outages for viewer in viewers),
        snapshots=sum(viewer.snapshots for viewer in viewers),
        forgotten=forgotten,
        rollbacks=rollbacks,
        replayed=replayed,
        interrupted=interrupted,
        flaws=[f"{flaw.kind}: {flaw.what}" for flaw in flaws[:TOLD]],
    )


def flaws_seen(talk: Talk) -> Iterator[Flaw]:
    """What was wrong with a conversation, in any viewer's eyes."""
    for viewer in talk.viewers:
        yield from viewer.flaws
        for turn in viewer.view.turns.keys() - talk.asked.keys():
            yield Flaw("repeated", f"{viewer.name}: {turn} stands for no accepted message")
        for turn, asked in talk.asked.items():
            shown = viewer.view.turns.get(turn)
            if shown is None or shown.status != "completed":
                state = "was never seen" if shown is None else f"is {shown.status}"
                yield Flaw("lost", f"{viewer.name}: {asked.tag} was accepted as {turn}, and {state}")
            else:
                for flaw in flaws_of(shown.body.decode(errors="replace"), asked.tag, asked.tokens):
                    yield Flaw(flaw.kind, f"{viewer.name}: {flaw.what}")


def answered(talk: Talk, turn: str) -> bool:
    """Whether all viewers saw the right answer to a message, whole."""
    asked = talk.asked[turn]
    seen = [viewer.view.turns.get(turn) for viewer in talk.viewers]
    return all(
        shown is not None
        and shown.status == "completed"
        and not flaws_of(shown.body.decode(errors="replace"), asked.tag, asked.tokens)
        for shown in seen
    )
