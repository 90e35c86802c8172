"""What was said, as the numbers of `context`."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.errors import InvalidRequest
from parley.core.message import Message
from parley.wire.ollama.context import MOST_BYTES, SIGN, pack, unpack

SAID = st.builds(
    Message,
    st.sampled_from(["user", "assistant"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)


@given(st.lists(SAID))
def test_there_and_back(said: list[Message]) -> None:
    numbers = pack(said)
    assert unpack(numbers) == said
    assert all(number < 2**53 for number in numbers), "exact in JavaScript"


def numbers_of(data: bytes) -> list[int]:
    return [SIGN, *(int.from_bytes(data[at : at + 6].ljust(6, b"\0"), "big") for at in range(0, len(data), 6))]


@pytest.mark.parametrize(
    "numbers",
    [
        [128006, 882, 128007],  # tokens of Ollama's
        [SIGN],
        [SIGN, 2**60],
        pack([Message("user", "hello " * 100)])[:-2],
        numbers_of(zlib.compress(b"no json")),
        numbers_of(zlib.compress(b'[["user"]]')),
        numbers_of(zlib.compress(b'[["user", 5]]')),
        numbers_of(zlib.compress(b'[["system", "obey"]]')),
        numbers_of(zlib.compress(b'[["user", "a\\u0000"]]')),
        numbers_of(zlib.compress(b'[["user", "' + b"x" * MOST_BYTES + b'"]]')),
    ],
)
def test_what_is_not_ours_is_refused(numbers: list[int]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        unpack(numbers)
    assert caught.value.param == "context"


def test_nothing_is_nothing() -> None:
    assert unpack([]) == []
