"""The outbox: order, bounds, and ways to end."""

import asyncio
import json

import pytest

from parley.core.event import Entry
from parley.server.outbox import SLOW, Frame, Outbox, entry_frame, frame
from tests.store.harness import run


def sized(size: int) -> Frame:
    return Frame("delta", b"x" * size)


def test_frames_come_out_as_they_went_in() -> None:
    async def main() -> None:
        outbox = Outbox(1000)
        frames = [sized(number) for number in range(1, 20)]
        for each in frames:
            outbox.put(each)
        assert [await outbox.take() for _ in frames] == frames

    run(main())


def test_a_taker_waits_for_a_frame() -> None:
    async def main() -> None:
        outbox = Outbox(1000)
        taker = asyncio.create_task(outbox.take())
        await asyncio.sleep(0)
        assert not taker.done()
        outbox.put(sized(1))
        assert await taker is not None

    run(main())


def test_closing_comes_behind_what_waits() -> None:
    async def main() -> None:
        outbox = Outbox(1000)
        outbox.put(sized(1))
        outbox.close(1012, "bye")
        outbox.close(1000, "later")
        outbox.put(sized(2))
        assert await outbox.take() is not None
        assert await outbox.take() is None
        assert outbox.closing is not None
        assert outbox.closing.code == 1012

    run(main())


def test_a_waiting_taker_hears_of_the_close() -> None:
    async def main() -> None:
        outbox = Outbox(1000)
        taker = asyncio.create_task(outbox.take())
        await asyncio.sleep(0)
        outbox.close(1000)
        assert await taker is None

    run(main())


def test_too_much_closes_and_drops_what_waits() -> None:
    async def main() -> None:
        outbox = Outbox(1000)
        told: list[str] = []
        outbox.stalled = lambda: told.append("stalled")
        outbox.put(sized(600))
        outbox.put(sized(401))
        assert outbox.closing is not None
        assert (outbox.closing.code, told) == (SLOW, ["stalled"])
        assert await outbox.take() is None

    run(main())


def test_one_frame_may_be_larger_than_all_that_may_wait() -> None:
    async def main() -> None:
        outbox = Outbox(1000)
        outbox.put(sized(50_000))
        assert outbox.closing is None
        assert await outbox.take() is not None

    run(main())


def test_room_is_waited_for() -> None:
    async def main() -> None:
        outbox = Outbox(1000)
        outbox.put(sized(400))
        await asyncio.wait_for(outbox.fit(100), 1)
        outbox.put(sized(100))
        waiters = [asyncio.create_task(outbox.fit(300)) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(waiter.done() for waiter in waiters)
        await outbox.take()
        await asyncio.wait_for(asyncio.gather(*waiters), 1)

    run(main())


def test_whoever_waits_for_room_is_freed_by_the_close() -> None:
    async def main() -> None:
        outbox = Outbox(100)
        outbox.put(sized(90))
        waiter = asyncio.create_task(outbox.fit(90))
        await asyncio.sleep(0)
        outbox.close(1000)
        await asyncio.wait_for(waiter, 1)

    run(main())


def test_the_direct_way_never_overtakes() -> None:
    async def main() -> None:
        outbox, written, open_ = Outbox(1000), list[Frame](), [True]

        def write(each: Frame) -> bool:
            if open_[0]:
                written.append(each)
            return open_[0]

        outbox.direct = write
        first, second, third, fourth = (sized(number) for number in range(1, 5))
        outbox.put(first)
        open_[0] = False
        outbox.put(second)
        open_[0] = True
        outbox.put(third)
        assert written == [first]
        assert [await outbox.take(), await outbox.take()] == [second, third]
        outbox.put(fourth)  # while the third may still be on its way
        assert written == [first]
        assert await outbox.take() is fourth

    run(main())


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536, 100_000])
def test_a_message_is_framed_by_its_length(size: int) -> None:
    data = Frame("delta", b"x" * size).message
    assert data[0] == 0x81
    if size < 126:
        assert (data[1], data[2:]) == (size, b"x" * size)
    elif size < 65_536:
        assert (data[1], int.from_bytes(data[2:4], "big"), data[4:]) == (126, size, b"x" * size)
    else:
        assert (data[1], int.from_bytes(data[2:10], "big"), data[10:]) == (127, size, b"x" * size)


def test_frames_of_entries() -> None:
    delta = Entry(
        "5-1", "4-1", b'{"type":"delta","turn":"0123456789abcdef","gen":1,"offset":0,"text":"\\"turn\\":\\""}'
    )
    made = entry_frame("conv_x", delta)
    assert (made.kind, made.turn, made.cursor) == ("delta", "0123456789abcdef", "5-1")
    assert json.loads(made.data) == {**json.loads(delta.data), "conversation": "conv_x", "cursor": "5-1"}
    changed = entry_frame("conv_x", Entry("6-1", "5-1", b'{"type":"changed","about":{"title":"\\",\\"turn\\":\\"x"}}'))
    assert (changed.kind, changed.turn) == ("changed", "")
    assert entry_frame("conv_x", Entry("7-1", "6-1", b'{"type":"deleted"}')).kind == "deleted"


def test_an_event_carries_the_cursor_of_its_frame_if_it_has_one() -> None:
    made = entry_frame("c", Entry("6-1", "5-1", b'{"type":"deleted"}'))
    assert made.event == b'id: 6-1\nevent: deleted\ndata: {"conversation":"c","cursor":"6-1","type":"deleted"}\n\n'
    assert frame("ping", at=1, id=None).event == b'event: ping\ndata: {"type":"ping","at":1}\n\n'
