"""Fallbacks: another model, but only before the first piece."""

import pytest

from parley.models.backend import BACKENDS
from parley.models.fallback import FallbackModel
from parley.models.openai import OpenAIModel
from parley.testing.upstream import ScriptedUpstream
from tests.models.helpers import Heard, asking, hear, run


async def ask(first: str, second: str, text: str, partial: str = "", *backends: str) -> Heard:
    one, two = (
        OpenAIModel(name, url, "x", tries=1, first_token=3.0, backend=BACKENDS[backend])
        for name, url, backend in zip(("a", "b"), (first, second), backends or ("other", "other"), strict=True)
    )
    model = FallbackModel((one, two))
    assert (model.name, model.recovery, model.concurrency) == ("a", one.recovery, 0)
    try:
        return await hear(model.answer(asking(text, partial)))
    finally:
        await model.close()


@pytest.mark.parametrize(
    "fault", ["status=500", "status=429", "status=401", "status=404", "status=410", "html", "cut=0"]
)
def test_the_next_model_is_asked_before_the_first_piece(fault: str) -> None:
    async def main() -> None:
        async with ScriptedUpstream() as first, ScriptedUpstream() as second:
            heard = await ask(first.url, second.url, f"say 2 {fault} times=1")
            assert heard.error  # the second has its own count, and fails as well
            heard = await ask(first.url, second.url, f"say 2 {fault} times=1")
            assert heard.text == "t:0000 t:0001 "
            assert (first.stats.started, second.stats.started) == (2, 1)
            third = await ask(first.root + "/nowhere", second.url, "say 1")
            assert third.text == "t:0000 "
            assert "another model" in third.waits[0].reason

    run(main)


def test_an_unreachable_model_is_passed_over() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as gone:
            url = gone.url
        async with ScriptedUpstream() as second:
            assert (await ask(url, second.url, "say 1")).text == "t:0000 "

    run(main)


def test_never_after_the_first_piece() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as first, ScriptedUpstream() as second:
            heard = await ask(first.url, second.url, "say 5 cut=2")
            assert heard.text == "t:0000 t:0001 "
            assert heard.error
            assert heard.error.code == "upstream_cut"
            assert second.stats.started == 0

    run(main)


def test_not_for_what_no_other_model_mends() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as first, ScriptedUpstream() as second:
            heard = await ask(first.url, second.url, "say 1 status=400")
            assert heard.error
            assert heard.error.code == "upstream_error"
            assert second.stats.started == 0

    run(main)


def test_a_partial_answer_goes_only_to_models_that_continue() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as gone:
            url = gone.url
        async with ScriptedUpstream() as second:
            heard = await ask(url, second.url, "say 2", "t:0000 ", "llama.cpp", "other")
            assert heard.error
            assert heard.error.code == "continue_refused"
            assert second.stats.started == 0
            heard = await ask(url, second.url, "say 2", "t:0000 ", "llama.cpp", "llama.cpp")
            assert heard.text == "t:0001 "

    run(main)


def test_at_least_one_model() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FallbackModel(())
