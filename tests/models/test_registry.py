"""Settings become models, or a clear refusal."""

from typing import Any

import msgspec
import pytest

from parley.core.message import Parameters
from parley.models.fallback import FallbackModel
from parley.models.huggingface import HuggingFaceModel
from parley.models.model import ModelError
from parley.models.openai import OpenAIModel
from parley.models.python import PythonModel
from parley.models.registry import Models
from parley.models.secret import Secret, decode_secret
from parley.models.settings import ModelSettings
from parley.testing.upstream import ScriptedUpstream
from tests.models.helpers import asking, hear, run


def settings(name: str = "a", **more: Any) -> ModelSettings:
    return ModelSettings(name=name, **{"url": "http://127.0.0.1:1", "model": "x"} | more)


def test_each_kind_and_the_default() -> None:
    async def main() -> None:
        models = Models(
            (
                settings("a", fallbacks=("b", "c")),
                settings("b", kind="huggingface"),
                settings("c", kind="python", model="tests.models.test_python:shout"),
                settings("d", url="http://127.0.0.1:11434"),
                settings("e", backend="vllm", concurrency=3, recovery="regenerate"),
            )
        )
        assert models.names() == ("a", "b", "c", "d", "e")
        kinds = [type(models.get(name)) for name in models.names()]
        assert kinds == [FallbackModel, HuggingFaceModel, PythonModel, OpenAIModel, OpenAIModel]
        assert models.get() is models.get("a")
        recoveries = [models.get(name).recovery for name in models.names()]
        assert recoveries == ["regenerate", "continue", "regenerate", "continue", "regenerate"]
        assert [models.get(name).concurrency for name in models.names()] == [0, 0, 0, 0, 3]
        with pytest.raises(ModelError) as caught:
            models.get("nothing")
        assert caught.value.code == "model_not_found"
        await models.close()

    run(main)


def test_a_model_made_from_settings_answers() -> None:
    async def main() -> None:
        async with ScriptedUpstream(api_key="sesame", models=("x",)) as upstream:
            models = Models(
                (
                    settings("a", url=upstream.url, api_key=Secret("sesame"), parameters=Parameters(seed=4)),
                    settings("b", url=upstream.url, api_key=Secret("wrong"), fallbacks=("a",)),
                )
            )
            for name in models.names():
                assert (await hear(models.get(name).answer(asking("say 1")))).text == "t:0000 "
            assert upstream.seen[0].body["seed"] == 4
            await models.close()

    run(main)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ((), "at least one model"),
        ((settings(), settings()), "two models are named 'a'"),
        ((settings(""),), "1 to 200 printable"),
        ((settings("a\nb"),), "1 to 200 printable"),
        ((settings(kind="magic"),), "unknown kind 'magic'"),
        ((settings(url=""),), "model 'a': the upstream URL must begin with http"),
        ((settings(url="ftp://u:sesame@h"),), "must begin with http"),
        ((settings(model=""),), "the upstream's name of the model"),
        ((settings(backend="magic"),), "unknown backend 'magic'"),
        ((settings(recovery="continue"),), "not known to continue"),
        ((settings(kind="python", model="no.such:f"),), "cannot import"),
        ((settings(fallbacks=("b",)),), "falls back on 'b', which is not there"),
        ((settings(fallbacks=("a",)),), "lead back to it: a > a"),
        ((settings("a", fallbacks=("b",)), settings("b", fallbacks=("a",))), "lead back to it: a > b > a"),
        ((settings(connect=0),), "connect must be a positive"),
        ((settings(stall=float("nan")),), "stall must be a positive"),
        ((settings(tries=0),), "tries must be at least 1"),
        ((settings(concurrency=-1),), "concurrency may not be negative"),
        ((settings(api_key=Secret("sesame\n")),), "no header can carry"),
    ],
)
def test_settings_that_cannot_work_are_refused(bad: tuple[ModelSettings, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        Models(bad)
    assert "sesame" not in str(caught.value)


def test_settings_can_be_printed_and_read() -> None:
    shown = repr(settings(url="https://u:sesame@h/v1", api_key=Secret("sesame")))
    assert "sesame" not in shown
    assert "https://h/v1" in shown
    read = msgspec.convert(
        {"name": "a", "url": "http://h", "model": "x", "api_key": "k", "parameters": {"seed": 1}},
        ModelSettings,
        dec_hook=decode_secret,
    )
    assert read == ModelSettings(
        name="a", url="http://h", model="x", api_key=Secret("k"), parameters=Parameters(seed=1)
    )
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"name": "a", "ulr": "http://h"}, ModelSettings, dec_hook=decode_secret)
