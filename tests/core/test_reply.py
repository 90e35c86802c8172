"""A reply written anew is quiet while it says the same, and rewinds once where it does not."""

from hypothesis import given
from hypothesis import strategies as st

from parley.core.pieces import Piece, record
from parley.core.reply import Reply, Runs, divergence

texts = st.text(alphabet="abé€😀 ", min_size=1, max_size=4)
pieces = st.lists(st.builds(Piece, texts, st.sampled_from(["text", "reasoning"])), max_size=8)


def runs(said: list[Piece]) -> Runs:
    made = Runs()
    for piece in said:
        made.add(piece.text, piece.channel)
    return made


def flat(said: Runs) -> list[tuple[str, int]]:
    return [(letter, byte) for letter, run in said.since(0) for byte in run]


@given(pieces, pieces)
def test_divergence_is_the_first_difference(one: list[Piece], two: list[Piece]) -> None:
    shown, new = runs(one), runs(two)
    ours, theirs = flat(shown), flat(new)
    common = min(len(ours), len(theirs))
    first = next((at for at in range(common) if ours[at] != theirs[at]), None)
    found = divergence(shown, new)
    if first is None:
        assert found is None
    else:
        assert found is not None
        assert first - 3 <= found <= first
        bytes(shown.body[:found]).decode()
        assert ours[:found] == theirs[:found]


@given(pieces, pieces)
def test_what_viewers_end_with_is_the_new_reply(shown: list[Piece], said: list[Piece]) -> None:
    body = "".join(piece.text for piece in shown)
    reply = Reply(body, record(shown), regenerate=True)
    viewer = bytearray(body.encode())
    rewinds = 0

    def rewind(offset: int) -> None:
        nonlocal rewinds
        rewinds += 1
        del viewer[offset:]
        reply.rewound(offset, 2)

    for piece in said:
        offset = reply.add(piece)
        if offset is not None:
            rewind(offset)
        for _, run in reply.unsent():
            viewer += run
        if not reply.quiet:
            reply.sent = reply.length
    offset = reply.ending()
    if offset is not None:
        rewind(offset)
    assert bytes(viewer) == "".join(piece.text for piece in said).encode()
    assert rewinds <= 1
    if shown == said:
        assert rewinds == 0


@given(pieces, pieces)
def test_a_continued_reply_goes_on_behind_what_stands(stands: list[Piece], more: list[Piece]) -> None:
    body = "".join(piece.text for piece in stands)
    reply = Reply(body, record(stands))
    for piece in more:
        assert reply.add(piece) is None
    unsent = b"".join(run for _, run in reply.unsent())
    assert unsent.decode() == "".join(piece.text for piece in more)
    assert reply.ending() is None
    whole = "".join(piece.text for piece in [*stands, *more] if piece.channel == "text")
    assert reply.runs.text() == whole
