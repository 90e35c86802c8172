"""The goals of the design, each with what was measured and whether that is enough. Why not, stands in remarks.toml."""

from collections.abc import Callable, Iterator
from typing import Any

from figures import Results
from msgspec import Struct


class Goal(Struct, frozen=True):
    """One row. `measured` gives the figures that have to be at most `limits`; None: not measured."""

    name: str
    words: str
    limits: tuple[float, ...]
    unit: str
    measured: Callable[[Results], tuple[float | None, ...]]


def of(*places: tuple[str, str, str]) -> Callable[[Results], tuple[float | None, ...]]:
    """Medians from these places of the results."""
    return lambda results: tuple(results.median(*place) for place in places)


def growth(results: Results) -> tuple[float | None, ...]:
    """A turn's cost at the longest history against that at the shortest."""
    costs = [summary["cpu_ms_per_turn"]["median"] for _, summary in results.cases("history")]
    return (round(costs[-1] / costs[0], 2) if len(costs) > 1 and costs[0] else None,)


def beside(results: Results) -> tuple[float | None, ...]:
    """What a token costs against the cheapest peer, measured in the same session."""
    load = "20 ms a token"
    ours = results.median("beside", f"Parley, websocket: {load}", "cpu_s_per_million_tokens")
    theirs = results.median("beside", f"resumable-stream: {load}", "cpu_s_per_million_tokens")
    return (round(ours / theirs, 2) if ours and theirs else None,)


def wrong(results: Results) -> tuple[float | None, ...]:
    """Replies that were not what the model said, of Parley in any scenario."""
    return (float(sum(run.get("wrong", 0) for run in _ours(results))),)


def elsewhere(_: Results) -> tuple[float | None, ...]:
    """Tests print it: it takes kills, not a load."""
    return (None,)


def _ours(results: Results) -> Iterator[dict[str, Any]]:
    for name, scenario in results.scenarios.items():
        for case, told in scenario["cases"].items():
            if name != "beside" or case.startswith("Parley"):
                yield from told


SOCKETS = "64 conversations at 20 ms a token, WebSocket"
GOALS = (
    Goal(
        "cost", f"CPU seconds for a million tokens, {SOCKETS}, all processes", (50,), "s",
        of(("stream", "websocket", "cpu_s_per_million_tokens")),
    ),
    # 50 against the 46 that were measured of it when the goal was set: machines differ, this ratio hardly does.
    Goal("beside", "that cost against resumable-stream's in the same session", (1.09,), "", beside),
    Goal(
        "burst", "CPU seconds for a million tokens, 64 conversations, tokens as fast as they come", (15,), "s",
        of(("burst", "websocket", "cpu_s_per_million_tokens")),
    ),
    Goal(
        "first", f"time to the first token, p50 / p99, {SOCKETS}", (3, 10), "ms",
        of(("stream", "websocket", "first_token_ms.p50"), ("stream", "websocket", "first_token_ms.p99")),
    ),
    Goal(
        "many", "256 replies at 20 ms a token: first token p50 / lag p99 (on time: below 20 ms)", (10, 20), "ms",
        of(("many", "256 websocket", "first_token_ms.p50"), ("many", "256 websocket", "lag_ms.p99")),
    ),
    Goal("history", "a turn's CPU at 10,000 messages of history / at 10", (1.1,), "", growth),
    Goal(
        "idle", "an idle WebSocket, following a conversation, all processes", (30,), "kB",
        of(("idle", "5000 following a conversation each", "kb_each")),
    ),
    Goal("ready", "ready after", (1.0,), "s", of(("start", "parley up", "ready_s"))),
    Goal("memory", "RSS of all processes without a model", (120,), "MB", of(("start", "parley up", "total.rss_mb"))),
    Goal("watcher", "a second watcher's lag, p99", (10,), "ms", of(("watchers", "1 watchers", "lag_ms.p99"))),
    Goal(
        "watchers", "the lag of 1,000 watchers of one reply, p99", (10,), "ms",
        of(("watchers", "1000 watchers", "lag_ms.p99")),
    ),
    Goal(
        "accept", "durable accept, p50 / p99, 16 conversations", (2, 20), "ms",
        of(("accept", "16 conversations", "accept_ms.p50"), ("accept", "16 conversations", "accept_ms.p99")),
    ),
    Goal(
        "frozen", "a reply frozen after an unseen kill / a supervised kill / SIGTERM", (6, 0.25, 0.5), "s",
        elsewhere,
    ),
    Goal("violations", "violations in at least 10,000 takeovers", (0,), "", elsewhere),
    Goal("wrong", "replies that were not what the model said, in all these runs", (0,), "", wrong),
)  # fmt: skip


def rows(results: Results, remarks: dict[str, str]) -> Iterator[tuple[str, str, str, str, str]]:
    """Figure, goal, measured, reached, remark."""
    for goal in GOALS:
        found = goal.measured(results)
        limits = " / ".join(f"{limit:g}" for limit in goal.limits)
        limit = f"≤ {limits} {goal.unit}".rstrip() if any(goal.limits) else "0"
        if None in found:
            yield goal.words, limit, "not measured here", "-", remarks.get(goal.name, "")
            continue
        told = " / ".join(f"{value:.4g}" for value in found if value is not None)
        met = [value <= most for value, most in zip(found, goal.limits, strict=True) if value is not None]
        yield (
            goal.words,
            limit,
            f"{told} {goal.unit}".rstrip(),
            "yes" if all(met) else "**no**",
            remarks.get(goal.name, ""),
        )
