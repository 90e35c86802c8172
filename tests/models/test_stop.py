"""Stop sequences never leak, however the text is cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from parley.models.stop import StopCutter


def passed(cutter: StopCutter, *texts: str) -> list[str]:
    return [*map(cutter.feed, texts), cutter.close()]


def test_a_stop_sequence_split_over_pieces_never_leaks() -> None:
    cutter = StopCutter(["Human:"])
    assert passed(cutter, "Rome", ". Hu", "man", ": more", " text") == ["Rome", ".", "", "", "", ""]
    assert cutter.stopped


def test_what_only_began_like_a_stop_sequence_is_said() -> None:
    assert "".join(passed(StopCutter(["Human:"]), "The Hum", "an ", "race")) == "The Human race"


def test_an_answer_that_ends_like_a_stop_sequence_is_said_whole() -> None:
    assert passed(StopCutter(["Human:"]), "Hum") == ["", "Hum"]


def test_white_space_at_the_start_is_kept_when_continuing() -> None:
    assert "".join(passed(StopCutter(["Human:"], strip_start=False), " and", " so ")) == " and so"


@given(
    st.text("Hum:an \n", max_size=30),
    st.lists(st.sampled_from(["Human:", "n:", "\nHu", "mm"]), max_size=3),
    st.lists(st.integers(0, 30)),
)
def test_any_cut_gives_the_seeds_result(text: str, stops: list[str], cuts: list[int]) -> None:
    """The same as cutting the whole text at the first stop sequence and stripping it, whatever the pieces are."""
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    cutter = StopCutter(stops)
    got = "".join(cutter.feed(text[a:b]) for a, b in pairwise(edges)) + cutter.close()
    whole = text.lstrip()
    ends = [(whole.find(stop) + len(stop), whole.find(stop)) for stop in stops if stop in whole]
    assert cutter.stopped == bool(ends)
    assert got == (whole[: min(ends)[1]].rstrip() if ends else whole.rstrip())
