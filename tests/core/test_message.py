"""Messages and parameters."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.about import About
from parley.core.message import Message, Parameters, Transcript

floats = st.none() | st.floats(0, 2)
numbers = st.none() | st.integers(1, 10**6)
parameters = st.builds(
    Parameters,
    temperature=floats,
    top_p=floats,
    max_tokens=numbers,
    stop=st.lists(st.text(max_size=4), max_size=3).map(tuple),
    seed=numbers,
    presence_penalty=floats,
    frequency_penalty=floats,
)


@given(parameters, parameters)
def test_what_is_set_wins_over_what_is_beneath(mine: Parameters, base: Parameters) -> None:
    chosen = mine.over(base)
    for name in Parameters.__struct_fields__:
        own = getattr(mine, name)
        assert getattr(chosen, name) == (getattr(base, name) if own in (None, ()) else own)


@given(parameters)
def test_nothing_beneath_or_above_changes_nothing(mine: Parameters) -> None:
    assert mine.over(Parameters()) == mine
    assert Parameters().over(mine) == mine


@given(parameters)
def test_parameters_survive_json(mine: Parameters) -> None:
    assert msgspec.json.decode(msgspec.json.encode(mine), type=Parameters) == mine


@pytest.mark.parametrize("zero", ["temperature", "top_p", "presence_penalty", "frequency_penalty"])
def test_zero_is_a_choice(zero: str) -> None:
    chosen: dict[str, Any] = {zero: 0.0}
    base: dict[str, Any] = {zero: 0.7}
    assert getattr(Parameters(**chosen).over(Parameters(**base)), zero) == 0.0


def test_equal_content_is_equal() -> None:
    assert Transcript((Message("user", "x"),)) == Transcript((Message("user", "x"),))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"role":"robot","content":"x"}', type=Message)


def test_what_is_private_is_not_public() -> None:
    about = About("t", "a", "m", {"k": "v"}, instructions="secret", parameters=Parameters(seed=1))
    assert about.public() == {"title": "t", "assistant": "a", "model": "m", "metadata": {"k": "v"}, "retention": ""}
    assert about.changed(title="u").instructions == "secret"
    assert about.changed(title="u").title == "u"
