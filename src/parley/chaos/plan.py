"""The plan: what is hurt, how often, for how long, and under what load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

Part = Literal["work", "serve", "redis"]
Fault = Literal["kill", "stop", "term", "rollback", "power"]

PARTS: tuple[Part, ...] = ("work", "serve", "redis")
FAULTS: tuple[Fault, ...] = ("kill", "stop", "term")
# Redis alone is killed and comes back without what it wrote last; the same with everything else killed too.
ROLLBACKS: tuple[Fault, ...] = ("rollback", "power")
# Seconds from one fault to the next in a part, on average.
PACE: dict[Part, float] = {"work": 0.37, "serve": 2.1, "redis": 7.5}


class Plan(Struct, frozen=True, kw_only=True):
    """What is done to a private installation. Times are seconds.

    Args:
        seed: every choice is drawn from it; when which process acts is the machine's own choice.
        duration: faults go on for so long at most.
        takeovers: so many of them end it earlier; 0: only the time does.
        tokens: how long replies are, from and below.
        delay: between two tokens of a reply.
        ahead: messages of one conversation that wait or are being answered at once.
        workers, servers: processes of the installation.
        parts, faults: what is hurt, and how: killed (SIGKILL), stopped for a while (SIGSTOP), told to go (SIGTERM).
        rollbacks: Redis is also made to forget what no receipt with ``fsync`` stands for (see rollback.py).
        pace: from one fault to the next in a part, on average.
        progress: events that viewers must have seen between two of them: on a slow machine everything takes longer.
        recovery: whether the model goes on behind a partial answer, or answers anew.
        redis_server: the server to run on; None: the one that `parley up` finds.
        redis: URL of a server of yours to use instead; all keys begin with `prefix`, and are gone afterwards.
        model: at an installation of yours, the name of the scripted model there.
    """

    seed: int
    duration: float = 60.0
    takeovers: int = 0
    conversations: int = 20
    tokens: tuple[int, int] = (10, 120)
    delay: float = 0.02
    ahead: int = 8
    workers: int = 3
    servers: int = 2
    parts: tuple[Part, ...] = PARTS
    faults: tuple[Fault, ...] = FAULTS
    rollbacks: bool = False
    pace: Mapping[Part, float] = field(default_factory=PACE.copy)
    progress: Mapping[Part, int] = field(default_factory=dict[Part, int])
    recovery: Literal["continue", "regenerate"] = "continue"
    redis_server: Path | None = None
    redis: str = ""
    prefix: str = "parley:"
    model: str = ""
