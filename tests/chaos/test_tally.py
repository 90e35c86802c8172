"""The verdict: what it counts, and what it does not let pass."""

from collections import Counter

from parley.chaos.flaw import Flaw
from parley.chaos.plan import Fault, Part
from parley.chaos.report import page, sentence
from parley.chaos.talk import Talk
from parley.chaos.tally import Verdict, verdict
from tests.chaos.story import frames, talk

HURT: Counter[tuple[Part, Fault]] = Counter({("work", "kill"): 2})


def judged(*talks: Talk, hurt: Counter[tuple[Part, Fault]] = HURT, left: int = 0) -> Verdict:
    return verdict(talks, hurt, seed=7, seconds=1.0, left=left)


def test_all_is_well() -> None:
    found = judged(talk())
    assert found.holds
    assert (found.accepted, found.answered, found.violations) == (1, 1, 0)
    assert found.hurt == {"work": {"kill": 2, "stop": 0, "term": 0}}
    assert "Kept: all 1 messages were answered, once, whole and in order." in page(found)


def test_a_message_that_one_viewer_never_saw_is_lost() -> None:
    found = judged(talk(frames(), []))
    assert (found.accepted, found.answered, found.lost, found.holds) == (1, 0, 1, False)
    assert "was accepted as t1, and was never seen" in page(found)
    assert sentence(found) == "VIOLATED, flaws: 1. Seed 7."


def test_a_reply_that_does_not_end_is_lost() -> None:
    found = judged(talk(frames(), frames()[:-1]))
    assert (found.answered, found.lost, found.holds) == (0, 1, False)


def test_a_reply_that_fails_is_lost() -> None:
    told = frames()
    told[-1] = told[-1] | {"status": "failed"}
    assert judged(talk(told, told)).lost == 2


def test_a_reply_to_nothing_is_repeated() -> None:
    said = talk()
    said.asked.clear()
    found = judged(said)
    assert (found.repeated, found.holds) == (2, False)


def test_a_short_reply_is_lost_text() -> None:
    found = judged(talk(frames(), frames(tokens=3)))
    assert (found.answered, found.lost, found.holds) == (0, 1, False)


def test_what_viewers_refused_counts() -> None:
    told = frames()
    found = judged(talk(told, [*told[:4], told[3], *told[4:]]))
    assert (found.answered, found.repeated, found.holds) == (1, 1, False)


def test_something_taken_back_needs_a_hurt_redis() -> None:
    said = talk()
    said.viewers[0].rollbacks = 1
    assert judged(said).lost == 1
    assert judged(said, hurt=Counter({("redis", "kill"): 1})).holds


def test_something_left_in_the_queues_is_a_violation() -> None:
    assert not judged(talk(), left=1).holds
    assert not judged(talk(), left=-1).holds


def test_flaws_found_elsewhere_count() -> None:
    found = verdict([talk()], HURT, seed=7, seconds=1.0, more=[Flaw("wrong", "parley up ended")])
    assert (found.wrong, found.holds, found.flaws) == (1, False, ["wrong: parley up ended"])


def test_without_faults_or_answers_nothing_is_shown() -> None:
    assert sentence(judged(talk(), hurt=Counter())) == "Nothing was hurt: this shows nothing."
    assert sentence(judged()) == "Nothing was answered: this shows nothing."
    assert not judged(talk(), hurt=Counter()).holds
    assert not judged().holds
