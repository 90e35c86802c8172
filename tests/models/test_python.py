"""Models that are Python functions."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parley.core.message import Message, Parameters, Transcript
from parley.core.pieces import Piece
from parley.models.model import Finish, ModelError, Waiting
from parley.models.python import REGISTERED, PythonModel, load, model
from tests.models.helpers import asking, hear, run


async def shout(messages: tuple[Message, ...], **options: Any) -> AsyncIterator[str]:
    for word in messages[-1].content.upper().split():
        yield word + " "
    if options:
        yield str(sorted(options.items()))


async def few(messages: tuple[Message, ...], seed: int = 0) -> AsyncIterator[str]:
    yield f"seed {seed}"


def test_text_is_streamed_and_finished() -> None:
    async def main() -> None:
        heard = await hear(PythonModel("m", shout).answer(asking("hi there")))
        assert [piece.text for piece in heard.pieces] == ["HI ", "THERE "]
        assert heard.finish == Finish()

    run(main)


def test_options_are_those_that_are_set_and_taken() -> None:
    async def main() -> None:
        shouting = PythonModel("m", shout, parameters=Parameters(top_p=0.5))
        assert (await hear(shouting.answer(asking("", seed=7)))).text == "[('seed', 7), ('top_p', 0.5)]"
        assert (await hear(PythonModel("m", few).answer(asking("", seed=7, top_p=0.5)))).text == "seed 7"

    run(main)


def test_pieces_waits_and_a_finish_may_be_yielded() -> None:
    async def rich(messages: tuple[Message, ...]) -> AsyncIterator[object]:
        yield Waiting("warming", 1.0)
        yield ""
        yield Piece("hm", "reasoning")
        yield "so"
        yield Finish("length")
        yield "never"

    async def main() -> None:
        heard = await hear(PythonModel("m", rich).answer(asking("")))
        assert (heard.reasoning, heard.text, heard.finish) == ("hm", "so", Finish("length"))
        assert heard.waits == [Waiting("warming", 1.0)]

    run(main)


def test_a_failing_function_fails_the_answer_and_its_words_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def bad(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        yield "a"
        raise RuntimeError("sesame")

    async def main() -> None:
        heard = await hear(PythonModel("m", bad).answer(asking("")))
        assert heard.text == "a"
        assert heard.error
        assert heard.error.code == "upstream_error"
        assert "sesame" not in heard.error.message
        assert "sesame" in caplog.text

    caplog.set_level(logging.ERROR)
    run(main)


def test_its_own_timeouts_and_model_errors_are_not_mistaken_for_ours() -> None:
    async def late(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        yield "a"
        raise TimeoutError("own")

    async def typed(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        yield "a"
        raise ModelError("context_too_long", "too long")

    async def main() -> None:
        for function, code in ((late, "upstream_error"), (typed, "context_too_long")):
            heard = await hear(PythonModel("m", function).answer(asking("")))
            assert heard.error
            assert heard.error.code == code

    run(main)


def test_silence_is_bounded_and_the_function_is_closed() -> None:
    closed = []

    async def hang(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        try:
            if messages[-1].content:
                yield "a"
            await asyncio.Event().wait()
        finally:
            closed.append(messages[-1].content)

    async def main() -> None:
        for text, code in (("x", "upstream_stalled"), ("", "upstream_timeout")):
            heard = await hear(PythonModel("m", hang, first_token=0.1, stall=0.1).answer(asking(text)))
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == (code, True)
        answer = PythonModel("m", hang).answer(asking("y"))
        await anext(answer)
        await answer.aclose()
        assert closed == ["x", "", "y"]

    run(main)


def test_what_is_not_text_is_refused() -> None:
    async def numbers(messages: tuple[Message, ...]) -> AsyncIterator[int]:
        yield 5

    async def main() -> None:
        heard = await hear(PythonModel("m", numbers).answer(asking("")))
        assert heard.error
        assert heard.error.code == "upstream_invalid"

    run(main)


def test_only_a_function_that_declares_it_is_given_a_partial_answer() -> None:
    async def main() -> None:
        transcript = Transcript((Message("user", ""),), partial="so far")
        heard = await hear(PythonModel("m", shout).answer(transcript))
        assert heard.error
        assert heard.error.code == "continue_refused"
        going_on = PythonModel("m", shout, recovery="continue")
        assert (await hear(going_on.answer(transcript))).text == "[('partial', 'so far')]"

    run(main)


def test_registering_and_loading() -> None:
    try:
        assert model("test-shout")(shout) is shout
        assert model("test-shout")(shout) is shout
        assert load("test-shout") is shout
        with pytest.raises(ValueError, match="taken"):
            model("test-shout")(few)
    finally:
        REGISTERED.pop("test-shout", None)
    assert load("tests.models.test_python:few").__name__ == "few"


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("nothing", "not package.module:function"),
        ("os; import x:y", "not package.module:function"),
        ("no.such.module:f", "cannot import"),
        ("tests.models.test_python:nothing", "has no"),
        ("os.path:join", "asynchronous generator"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(reference: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        load(reference)


def test_a_plain_function_cannot_be_registered() -> None:
    with pytest.raises(TypeError, match="asynchronous generator"):
        model("plain")(len)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r'write @model\("name"\)'):
        model(len)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="printable name"):
        model("")
