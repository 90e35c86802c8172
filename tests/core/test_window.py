"""The window: whole exchanges, the newest, within both limits; the one being answered always."""

from hypothesis import given
from hypothesis import strategies as st

from parley.core.message import Message
from parley.core.window import MESSAGE_TOKENS, Exchange, Window, estimate, reach, select

contents = st.text(max_size=60)
exchanges = st.lists(
    st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), contents), min_size=1, max_size=3).map(
        lambda messages: Exchange(tuple(messages))
    ),
    max_size=12,
)
windows = st.builds(Window, last=st.integers(0, 12), tokens=st.integers(0, 200))


def said(*contents: str) -> Exchange:
    return Exchange(tuple(Message("user" if at % 2 == 0 else "assistant", text) for at, text in enumerate(contents)))


def texts(messages: tuple[Message, ...]) -> list[str]:
    return [message.content for message in messages]


@given(exchanges, windows)
def test_it_is_a_suffix_of_whole_exchanges_with_the_newest_in_it(history: list[Exchange], window: Window) -> None:
    suffixes = [
        tuple(message for exchange in history[at:] for message in exchange.messages)
        for at in range(max(len(history), 1))
    ]
    assert select(history, window) in suffixes


@given(exchanges, windows)
def test_it_keeps_within_both_limits_unless_one_exchange_alone_exceeds_them(
    history: list[Exchange], window: Window
) -> None:
    shown = select(history, window)
    if history and shown != history[-1].messages:
        assert not window.last or len(shown) <= window.last
        assert not window.tokens or sum(map(estimate, shown)) <= window.tokens


@given(exchanges, windows)
def test_one_exchange_more_would_exceed_a_limit(history: list[Exchange], window: Window) -> None:
    shown = select(history, window)
    for at in range(len(history)):
        more = tuple(message for exchange in history[at:] for message in exchange.messages)
        if len(more) > len(shown):
            assert (window.last and len(more) > window.last) or (
                window.tokens and sum(map(estimate, more)) > window.tokens
            )


@given(exchanges, windows)
def test_what_is_out_of_reach_makes_no_difference(history: list[Exchange], window: Window) -> None:
    turns, size = reach(window)
    near = history[-turns - 1 :] if turns else history
    while size and len(near) > 1 and sum(len(m.content.encode()) for e in near[:-1] for m in e.messages) > size:
        near = near[1:]
    assert select(near, window) == select(history, window)


def test_without_limits_everything_is_shown() -> None:
    history = [said("a", "b"), said("c", "d"), said("e")]
    assert texts(select(history, Window(last=0, tokens=0))) == ["a", "b", "c", "d", "e"]
    assert reach(Window(last=0, tokens=0)) == (0, 0)
    assert select([], Window()) == ()


def test_last_four_of_the_tutorial_cut_at_whole_exchanges() -> None:
    history = [said("1", "2"), said("3", "4"), said("5", "6"), said("7")]
    assert texts(select(history, Window(last=4, tokens=0))) == ["5", "6", "7"]  # never begins with an answer
    assert texts(select(history, Window(last=5, tokens=0))) == ["3", "4", "5", "6", "7"]
    assert texts(select(history, Window(last=1, tokens=0))) == ["7"]


def test_a_message_over_the_budget_is_still_shown() -> None:
    history = [said("a", "b"), said("x" * 10_000)]
    assert texts(select(history, Window(tokens=10))) == ["x" * 10_000]


def test_the_estimate_rounds_up_and_counts_bytes_that_are_not_ascii_double() -> None:
    assert estimate(Message("user", "")) == MESSAGE_TOKENS
    assert estimate(Message("user", "abcde")) == MESSAGE_TOKENS + 2
    assert estimate(Message("user", "é" * 8)) == MESSAGE_TOKENS + 8
    assert estimate(Message("user", "abcdé")) == MESSAGE_TOKENS + 2
