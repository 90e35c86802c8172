"""The plan: what is hurt, how often, for how long, and under what load."""

from typing import Literal

from msgspec import Struct

Part = Literal["work", "serve", "redis"]
Fault = Literal["kill", "stop", "term"]

PARTS: tuple[Part, ...] = ("work", "serve", "redis")
FAULTS: tuple[Fault, ...] = ("kill", "stop", "term")


class Plan(Struct, frozen=True, kw_only=True):
    """What is done to a private installation. Times are seconds.

    Args:
        seed: every choice is drawn from it; when which process acts is the machine's own choice.
        duration: faults go on for so long at most.
        takeovers: so many of them end it earlier; 0: only the time does.
        workers, servers: processes of the installation.
        parts, faults: what is hurt, and how: killed (SIGKILL), stopped for a while (SIGSTOP), told to go (SIGTERM).
        recovery: whether the model goes on behind a partial answer, or answers anew.
    """

    seed: int
    duration: float = 60.0
    takeovers: int = 0
    conversations: int = 20
    workers: int = 3
    servers: int = 2
    parts: tuple[Part, ...] = PARTS
    faults: tuple[Fault, ...] = FAULTS
    recovery: Literal["continue", "regenerate"] = "continue"
