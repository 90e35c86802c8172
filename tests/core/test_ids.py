"""Ids: shaped, parsed, and never guessed from look-alikes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core import ids

randoms = st.binary(min_size=16, max_size=16)
conversations = st.builds(ids.conversation_id, randoms, st.integers(1, 256))


@given(randoms, st.integers(1, 256))
def test_a_conversation_id_tells_its_shard(random: bytes, shards: int) -> None:
    conversation = ids.conversation_id(random, shards)
    assert ids.is_conversation_id(conversation)
    assert int(ids.shard_of(conversation), 16) < shards
    assert conversation.endswith(random.hex())


@given(randoms)
def test_sixteen_bytes_are_taken_and_no_other_number(random: bytes) -> None:
    with pytest.raises(ValueError):
        ids.conversation_id(random[:15], 16)
    with pytest.raises(ValueError):
        ids.conversation_id(random + b"x", 16)


@given(conversations, st.text())
def test_a_response_id_embeds_conversation_and_turn(conversation: str, key: str) -> None:
    turn = ids.turn_id(conversation, key)
    assert ids.is_turn_id(turn)
    response = ids.response_id(conversation, turn)
    assert ids.parse_response_id(response) == (conversation, turn)
    assert not ids.is_conversation_id(response)


@given(conversations, conversations, st.text(), st.text())
def test_a_key_is_one_turn_in_each_conversation(one: str, other: str, key: str, another: str) -> None:
    assert ids.turn_id(one, key) == ids.turn_id(one, key)
    assert (ids.turn_id(one, key) == ids.turn_id(other, another)) == ((one, key) == (other, another))


BASE = "conv_00" + "a" * 32


@pytest.mark.parametrize(
    "text",
    ["", "conv_", BASE[:-1], BASE + "a", BASE + "\n", "\n" + BASE, BASE.upper(), BASE.replace("a", "g"), f"{{{BASE}}}",
     BASE[:-1] + "*", BASE[:-1] + ":", "conv_00" + "٠" * 32, "resp_" + BASE[5:], "../" + BASE, BASE + "x" * 10_000],
)  # fmt: skip
def test_look_alikes_are_refused(text: str) -> None:
    assert not ids.is_conversation_id(text)
    with pytest.raises(ValueError):
        ids.shard_of(text)
    assert ids.parse_response_id(text) is None
    assert not ids.is_turn_id(text)


@pytest.mark.parametrize("text", ["a" * 15, "a" * 17, "a" * 15 + "g", "A" * 16, "a" * 16 + "\n", "٠" * 16])
def test_turn_ids_are_sixteen_hex_digits(text: str) -> None:
    assert not ids.is_turn_id(text)


@given(st.text())
def test_no_text_is_mistaken_for_a_response(text: str) -> None:
    found = ids.parse_response_id(text)
    assert found is None or ids.response_id(*found) == text
