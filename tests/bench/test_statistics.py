"""Several runs in one."""

from typing import Any

from parley.bench.statistics import compare, summary


def test_the_median_and_the_spread_of_every_figure() -> None:
    runs = [{"a": 1, "deep": {"b": 5.0}, "text": "x"}, {"a": 3, "deep": {"b": 1.0}}, {"a": 2, "deep": {"b": 2.0}}]
    assert summary(runs) == {
        "a": {"median": 2, "min": 1, "max": 3},
        "deep.b": {"median": 2, "min": 1, "max": 5},
    }


def test_a_figure_that_a_run_lacks_is_left_out() -> None:
    assert summary([{"a": 1}, {"a": 1, "b": 2}]) == {"a": {"median": 1, "min": 1, "max": 1}}


def test_truth_values_are_no_figures() -> None:
    assert summary([{"a": True}]) == {}


def told(**figures: tuple[float, float, float]) -> dict[str, Any]:
    """Results of one case; each figure its least, median and most."""
    ranges = {name: dict(zip(("min", "median", "max"), each, strict=True)) for name, each in figures.items()}
    return {"stream": {"cases": {"websocket": {"summary": ranges}}}}


def test_what_got_slower_is_told_by_ratio() -> None:
    (change,) = compare(told(ready_s=(1.4, 1.5, 1.6)), told(ready_s=(0.9, 1.0, 1.1)))
    assert (change.case, change.figure, change.ratio, change.slower) == ("stream: websocket", "ready_s", 1.5, True)


def test_fewer_tokens_a_second_is_slower() -> None:
    (change,) = compare(told(tokens_per_s=(90, 100, 110)), told(tokens_per_s=(190, 200, 210)))
    assert change.ratio == 2
    assert change.slower


def test_noise_is_not_told_as_slower() -> None:
    (change,) = compare(told(ready_s=(0.5, 1.5, 1.6)), told(ready_s=(0.9, 1.0, 1.1)))
    assert change.ratio == 1.5
    assert not change.slower


def test_faster_is_not_slower_and_what_is_missing_is_passed_over() -> None:
    (change,) = compare(told(ready_s=(0.1, 0.2, 0.3), kb_each=(1, 1, 1)), told(ready_s=(0.9, 1.0, 1.1)))
    assert change.apart
    assert not change.slower
