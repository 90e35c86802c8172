"""The witness's account: an answer is what the model said, each character once, over any number of requests."""

import pytest

from parley.chaos.witness import Heard, accounts_for, partial_of, said_in

ANSWER = "Once upon a time there was a sea."


def heard(*requests: tuple[str, str]) -> list[Heard]:
    return [Heard(partial, said, whole=at == len(requests)) for at, (partial, said) in enumerate(requests, 1)]


@pytest.mark.parametrize(
    "requests",
    [
        [("", ANSWER)],
        # The last words died with the worker, and were asked for again.
        [("", "Once upon a time the"), ("Once upon a", " time there was a sea.")],
        # The white space where they meet is held back from the model, and said again or not.
        [("", "Once upon "), ("Once upon", "a time there was a sea.")],
        [("", "Once "), ("Once", " upon a ti"), ("Once upon a", " time there was a sea.")],
        # Asked anew instead: what was said before does not count.
        [("", "There was once"), ("", ANSWER)],
    ],
)
def test_an_answer_that_was_said(requests: list[tuple[str, str]]) -> None:
    assert accounts_for(heard(*requests), ANSWER)


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [("", ANSWER[:-1])],
        [("", ANSWER + "!")],
        # A word repeated where two parts meet, and one that is lost.
        [("", "Once upon a"), ("Once upon a", " a time there was a sea.")],
        [("", "Once upon a"), ("Once upon a", " there was a sea.")],
        # The first part is not what the model said.
        [("", "Once beneath a time"), ("Once upon a", " time there was a sea.")],
        [("", "Once upon a"), ("Twice upon a", " time there was a sea.")],
    ],
)
def test_an_answer_that_was_not_said(requests: list[tuple[str, str]]) -> None:
    assert not accounts_for(heard(*requests), ANSWER)


def test_a_last_request_that_was_cut_off_accounts_for_nothing() -> None:
    assert not accounts_for([Heard("", ANSWER, whole=False)], ANSWER)


def test_requests_and_answers_are_read() -> None:
    user = {"role": "user", "content": "say"}
    assert partial_of({"messages": [user]}) == ""
    assert partial_of({"messages": [user, {"role": "assistant", "content": "Once"}]}) == "Once"
    assert said_in(b'data: {"choices":[{"delta":{"content":" upon"}}]}\n') == " upon"
    for line in (
        b"\n",
        b": ping\n",
        b"data: [DONE]\n",
        b'data: {"choices":[]}\n',
        b'data: {"choices":[{"delta":{}}]}\n',
    ):
        assert said_in(line) == ""
