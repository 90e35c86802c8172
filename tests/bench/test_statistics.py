"""Several runs in one."""

from parley.bench.statistics import ratio, summary


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


def test_ratios() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(0, 0) == 1
    assert ratio(1, 0) == float("inf")
