"""Flags and mailboxes do what asyncio's own do."""

import asyncio

import pytest

from parley.store.waiting import Flag, Mailbox


def test_a_flag_wakes_all_who_wait_and_keeps_nobody_while_it_is_up() -> None:
    async def story() -> None:
        flag = Flag()
        waiting = [asyncio.create_task(flag.wait()) for _ in range(3)]
        gone = asyncio.create_task(flag.wait())
        await asyncio.sleep(0)
        assert not flag.is_set()
        assert not any(task.done() for task in waiting)
        gone.cancel()
        flag.set()
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await asyncio.wait_for(flag.wait(), 5)
        flag.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flag.wait(), 0.01)

    asyncio.run(story())


def test_a_flag_may_be_made_up() -> None:
    assert Flag(up=True).is_set()


def test_a_mailbox_gives_back_what_came_in_order() -> None:
    async def story() -> None:
        box = Mailbox()
        assert box.empty()
        reading = asyncio.create_task(box.get())
        await asyncio.sleep(0)
        box.put_nowait("one")
        box.put_nowait("two")
        assert await asyncio.wait_for(reading, 5) == "one"
        assert not box.empty()
        assert await box.get() == "two"
        assert box.empty()
        given_up = asyncio.create_task(box.get())
        await asyncio.sleep(0)
        given_up.cancel()
        box.put_nowait("three")
        assert await asyncio.wait_for(box.get(), 5) == "three"

    asyncio.run(story())
