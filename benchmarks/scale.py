"""What many conversations need, on paper: from the unit costs that were measured."""

import math
from collections.abc import Iterator

from figures import Results, parts
from msgspec import Struct

# Of a core, that it is loaded to.
LOADED = 0.7
PACE = 50  # tokens a second in a reply at 20 ms a token
# Of those who have a conversation open, how many are being answered at one moment.
ANSWERED = {"all being answered at once": 1.0, "one in twenty being answered": 0.05}
SIZES = (1_000, 100_000, 10_000_000)
# Turns that a conversation keeps.
TURNS = 10


class Units(Struct, frozen=True):
    """What one of each costs: microseconds of CPU a token, bytes."""

    web: float
    worker: float
    redis: float
    socket: float
    conversation: float
    turn: float
    under_way: float
    wire: float
    redis_wire: float


def units(results: Results) -> Units | None:
    """Unit costs out of the results, at 256 replies at 20 ms a token; None where something was not measured."""
    many = dict(results.cases("many")).get("256 websocket")
    stored = next((summary for _, summary in results.cases("storage")), None)
    socket = results.median("idle", "5000 following a conversation each", "kb_each")
    if many is None or stored is None or socket is None:
        return None
    cpu = parts(many, "cpu_s_by_part.", factor=1e6 / many["tokens"]["median"])
    held = {name: figure["median"] for name, figure in stored.items()}
    return Units(
        web=cpu.get("web", 0),
        worker=cpu.get("worker", 0),
        redis=cpu.get("redis", 0),
        socket=socket * 1000,
        conversation=held["bytes_per_empty_conversation"],
        turn=held["bytes_per_turn_kept"],
        under_way=held["bytes_per_reply_under_way"],
        wire=many["bytes_per_token"]["median"],
        redis_wire=held["in_bytes_per_token"] + held["out_bytes_per_token"],
    )


def rows(cost: Units) -> Iterator[tuple[str, ...]]:
    """Conversations, how many are answered, processes, shards, memory, bandwidth."""
    for share, answered in ANSWERED.items():
        for size in SIZES:
            tokens = size * answered * PACE
            memory = size * (cost.conversation + TURNS * cost.turn) + size * answered * cost.under_way
            yield (
                f"{size:,}", share, f"{tokens:,.0f}",
                cores(tokens * cost.web), cores(tokens * cost.worker), cores(tokens * cost.redis),
                amount(size * cost.socket, "B"), amount(memory, "B"),
                amount(tokens * cost.wire * 8, "bit/s"), amount(tokens * cost.redis_wire * 8, "bit/s"),
            )  # fmt: skip


def cores(microseconds_a_second: float) -> str:
    """Processes that spend that much, each loaded to LOADED of a core."""
    return f"{max(1, math.ceil(microseconds_a_second / 1e6 / LOADED)):,}"


def amount(value: float, unit: str) -> str:
    """A number with a prefix."""
    for prefix in ("", "k", "M", "G", "T"):
        if value < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:.3g} P{unit}"
