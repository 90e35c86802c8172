"""The event reader: however the bytes are cut, the same events come out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.models.sse import EventReader, LineTooLong


def read(*chunks: bytes, cap: int = 1000) -> list[bytes]:
    reader = EventReader(cap)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events + reader.close()


def test_data_with_and_without_space_comments_and_other_fields() -> None:
    stream = b": hi\nevent: x\nid: 7\ndata: one\n\ndata:two\n\nretry: 5\n\ndata:  three\n\n"
    assert read(stream) == [b"one", b"two", b" three"]


def test_line_ends_of_all_kinds() -> None:
    assert read(b"data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\n\n") == [b"a", b"b", b"c", b"d"]


def test_data_lines_of_one_event_are_joined() -> None:
    assert read(b"data: a\ndata: b\n\n") == [b"a\nb"]


def test_byte_order_mark_is_dropped() -> None:
    assert read(b"\xef\xbb", b"\xbfdata: a\n\n") == [b"a"]


def test_empty_data_says_nothing() -> None:
    assert read(b"data:\n\ndata: \n\n\n\n") == []


def test_an_unclosed_last_event_counts() -> None:
    assert read(b"data: a\n\ndata: [DONE]") == [b"a", b"[DONE]"]


def test_lf_after_a_cr_in_another_chunk_is_one_line_end() -> None:
    assert read(b"data: a\r", b"\n", b"\ndata: b\r", b"\n\r\n") == [b"a", b"b"]


def test_split_utf8_arrives_whole() -> None:
    data = "data: grüße 🙂\n\n".encode()
    assert read(*(data[at : at + 1] for at in range(len(data)))) == ["grüße 🙂".encode()]


@given(
    st.lists(st.binary(min_size=1, max_size=12).map(lambda data: data.translate(None, b"\r\n")), max_size=8),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.data(),
)
def test_any_cut_gives_the_same_events(payloads: list[bytes], end: bytes, data: st.DataObject) -> None:
    payloads = [payload for payload in payloads if payload]
    stream = b"".join(b"data: " + payload + end + end for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*chunks) == payloads


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 1001, b": " + b"x" * 1001])
def test_a_line_beyond_the_cap_is_refused(chunk: bytes) -> None:
    with pytest.raises(LineTooLong):
        EventReader(1000).feed(chunk)


def test_data_beyond_the_cap_is_refused_over_many_lines() -> None:
    with pytest.raises(LineTooLong):
        EventReader(1000).feed(b"data: " + b"x" * 600 + b"\ndata: " + b"x" * 600 + b"\n")


def test_a_line_dripping_in_costs_no_more_than_its_length() -> None:
    reader = EventReader(200_000)
    for _ in range(150_000):
        assert reader.feed(b"x") == []
    assert reader.feed(b"\ndata: a\n\n") == [b"a"]
