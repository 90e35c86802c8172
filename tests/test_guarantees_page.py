"""docs/guarantees.md is what its tool makes of the catalogue and of what was measured, and says nothing else."""

import json

from tools.guarantees_page import KEPT, PAGE, broken, chaos, keep, mutations, page, soak

from tests.faults.catalogue import catalogue

RUN = {
    "date": "2026-01-02T03:04:05Z", "commit": "abc", "server": "Redis 6.2.14", "kind": "redis", "recovery": "continue",
    "seed": 7, "accepted": 9, "answered": 9, "takeovers": 5, "frozen_max": 1.25, "said": "much", "flaws": [],
    "hurt": {"work": {"kill": 2}, "redis": {"kill": 1, "stop": 4, "term": 1, "rollback": 2, "power": 1}},
    "lost": 0, "repeated": 0, "out_of_order": 0, "wrong": 0, "left": 0,
}  # fmt: skip


def test_the_page_is_what_the_tool_makes() -> None:
    assert PAGE.read_text() == page(json.loads(KEPT.read_text())), "run python tools/guarantees_page.py"


def test_every_fault_is_there() -> None:
    shown = PAGE.read_text()
    assert all(f"| {row.id} | {row.fault} |" in shown for row in catalogue().fault)


def test_runs_are_kept_once_and_summed() -> None:
    kept: dict[str, object] = {}
    keep(kept, [RUN, RUN, RUN | {"seed": 8, "lost": 1, "left": -1}])
    text = "\n".join(chaos(kept["chaos"]))  # type: ignore[arg-type]
    assert "| Redis 6.2.14 | 2 | 18 | 10 | 8 | 6 | 2 |" in text
    assert broken(RUN | {"left": -1}) == 1
    assert "much" not in json.dumps(kept)


def test_a_void_run_counts_for_nothing_and_is_told() -> None:
    text = "\n".join(chaos([RUN, RUN | {"seed": 8, "void": "the machine starved"}]))
    assert "| **all** | 1 | 9 | 5 | 4 | 3 | 0 |" in text
    assert "- seed 8, Redis 6.2.14: the machine starved" in text


def test_the_latest_figure_of_a_test_stands() -> None:
    kept: dict[str, object] = {}
    figure = {"fault": "F02", "test": "t", "gap_ms": 90}
    keep(kept, [figure, figure | {"gap_ms": 77}, figure | {"test": "u", "gap_ms": 80}])
    assert kept["figures"] == [figure | {"gap_ms": 77}, figure | {"test": "u", "gap_ms": 80}]
    assert "gap 77–80 ms" in page(kept)
    keep(kept, [{"fault": "F02", "test": "t", "silence_ms": 60}])
    assert kept["figures"] == [{"fault": "F02", "test": "t", "silence_ms": 60}, figure | {"test": "u", "gap_ms": 80}]


def test_figures_of_the_same_names_are_told_as_one() -> None:
    figures = [
        {"fault": "F28", "test": "a", "instant": "queued", "ms": 0.268},
        {"fault": "F28", "test": "b", "instant": "middle", "ms": 4.71},
        {"fault": "F02", "test": "c", "what": "after SIGTERM", "times": 4, "max_s": 12.3},
        {"fault": "F02", "test": "c", "what": "after a kill", "times": 4, "max_s": 0.25},
        {"fault": "F02", "test": "d", "rewinds": 0, "freed_bytes": 31_000},
    ]
    kept: dict[str, object] = {}
    keep(kept, figures)
    text = page(kept)
    assert "| 2 instants, 0.27–4.7 ms |" in text
    assert (
        "| after SIGTERM: 4 times, max 12 s; after a kill: 4 times, max 0.25 s; 0 rewinds, freed 31,000 bytes |" in text
    )


def test_a_mutant_is_told_beside_what_stood_the_same_storm() -> None:
    stood = {"seed": 1, "accepted": 90, "answered": 90, "flaws": []}
    told = {"seed": 1, "lost": 3, "flaws": ["lost: socket conv_0a1b: c1t2: 3 of 9 tokens are missing"]}
    result = {"mutation": "no guard", "provokes": "kills", "stands": True, "caught": True, "unhurt": [stood]}
    lines = "\n".join(mutations([result | {"runs": [told]}, result | {"caught": False, "runs": [stood]}]))
    assert "| no guard | kills | 1 | 90 of 90 right | 3 lost | lost: c1t2: 3 of 9 tokens are missing |" in lines
    assert "| not in 1 runs |" in lines


def test_without_anything_measured_nothing_is_claimed() -> None:
    assert page({}).count("No run is recorded.") == 2
    assert not list(soak({}))
