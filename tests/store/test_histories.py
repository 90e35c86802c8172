"""Histories: messages saved one at a time become turns, on every server of this machine."""

import asyncio
from pathlib import Path

import pytest

from parley.core.errors import Gone, NotFound, TooLarge, TooMany
from parley.core.limits import Limits
from parley.core.message import Message
from parley.core.view import View
from parley.store import histories
from parley.store.histories import Histories, Recalled
from tests.redis_servers import binaries
from tests.store.harness import Bench, bench, run

ME = "me"


def on(made: Bench) -> Histories:
    return Histories(made.client, made.keys, made.limits, made.lifetimes)


async def begun(made: Bench, instructions: str = "") -> tuple[Histories, str]:
    store = on(made)
    name = store.name()
    await store.begin(name, ME, instructions)
    return store, name


async def save(store: Histories, name: str, line: str, writer: str = "w", patience: float = 5.0) -> tuple[str, str]:
    role, _, text = line.partition(":")
    assert role in ("system", "user", "assistant")
    return await store.save(name, ME, writer, Message(role, text), patience=patience)  # type: ignore[arg-type]


def said(recalled: Recalled) -> list[list[str]]:
    """Each turn's lines, then the draft's."""
    shown = [
        [f"{message.role}:{message.content}" for message in turn.request.input]
        + [f"assistant:{turn.outcome.body if turn.outcome else None}"]
        for turn in recalled.turns
    ]
    return [*shown, [f"{message.role}:{message.content}" for message in recalled.draft]]


@pytest.mark.parametrize("binary", binaries().values(), ids=binaries().keys())
def test_messages_become_turns_as_they_are_answered(binary: Path) -> None:
    async def main() -> None:
        async with bench(binary) as made:
            store, name = await begun(made, "Be brief.")
            view = await made.view(name)
            await save(store, name, "user:Italy")
            assert said(await store.recall(name, ME)) == [["user:Italy"]]
            first = await save(store, name, "assistant:Rome")
            assert first[0] == ""
            await save(store, name, "system:Now in French.")
            await save(store, name, 'user:"Grèce"\n🦜/')
            second = await save(store, name, "assistant:Athènes")
            assert second[0] == first[1] != second[1]
            recalled = await store.recall(name, ME)
            assert recalled.about.instructions == "Be brief."
            assert recalled.head == second[1]
            assert said(recalled) == [
                ["user:Italy", "assistant:Rome"],
                ["system:Now in French.", 'user:"Grèce"\n🦜/', "assistant:Athènes"],
                [],
            ]
            # Whoever followed the log sees what whoever comes now does.
            view = await made.view(name, view)
            fresh = View()
            fresh.restore(await made.conversations.snapshot(name))
            assert view.turns == fresh.turns
            assert [bytes(turn.body).decode() for turn in view.turns.values()] == ["Rome", "Athènes"]
            assert [found.conversation for found in await made.conversations.listing(ME)] == [name]

    run(main())


@pytest.mark.parametrize("binary", binaries().values(), ids=binaries().keys())
def test_a_repeat_changes_nothing(binary: Path) -> None:
    async def main() -> None:
        async with bench(binary) as made:
            store, name = await begun(made)
            keys = made.keys.conversation(name)
            for line in ("user:Italy", "assistant:Rome", "system:s", "user:France", "assistant:Paris"):
                role, _, text = line.partition(":")
                args = store._arguments(name, "w", Message(role, text))  # type: ignore[arg-type]
                first = await store._scripts.once("save", keys, args)
                stands = await store.recall(name, ME)
                log = await made.client.xlen(keys[1])
                again = await store._scripts.once("save", keys, args)
                assert again == first, line
                assert await store.recall(name, ME) == stands
                assert await made.client.xlen(keys[1]) == log

    run(main())


def test_odd_orders_are_kept() -> None:
    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            lines = "assistant:hello", "user:a", "user:b", "assistant:", "assistant:c", "system:x", "system:y", "user:z"
            for line in lines:
                await save(store, name, line)
            assert said(await store.recall(name, ME)) == [
                ["assistant:hello"],
                ["user:a", "user:b", "assistant:"],
                ["assistant:c"],
                ["system:x", "system:y", "user:z"],
            ]

    run(main())


def test_two_writers_take_turns() -> None:
    """A20: load, complete and save without a lock let two turns interleave and lose context."""

    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            order: list[str] = []

            async def converse(writer: str) -> None:
                for number in range(5):
                    await save(store, name, f"user:{writer}{number}", writer)
                    order.append(writer)
                    await asyncio.sleep(0.005)
                    assert order[-1] == writer, "another spoke before this was answered"
                    await save(store, name, f"assistant:to {writer}{number}", writer)

            await asyncio.gather(*(converse(writer) for writer in "abcd"))
            turns = said(await store.recall(name, ME))[:-1]
            assert len(turns) == 20
            assert all(answer == f"assistant:to {question[5:]}" for question, answer in turns)

    run(main())


def test_a_writer_that_never_answers_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "HOLD", 0.2)

    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            await save(store, name, "user:lost", "gone")
            await save(store, name, "user:mine", "here")
            await save(store, name, "assistant:both", "here")
            assert said(await store.recall(name, ME)) == [["user:lost", "user:mine", "assistant:both"], []]

    run(main())


def test_whoever_is_held_too_long_is_told() -> None:
    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            await save(store, name, "user:mine", "one")
            with pytest.raises(TooMany) as caught:
                await save(store, name, "user:mine too", "two", patience=0.1)
            assert caught.value.code == "conversation_busy"
            # An answer out of turn is kept, and takes nothing that another asks.
            await save(store, name, "assistant:unasked", "two")
            await save(store, name, "assistant:yours", "one")
            assert said(await store.recall(name, ME)) == [["assistant:unasked"], ["user:mine", "assistant:yours"], []]

    run(main())


def test_a_reply_of_a_worker_is_waited_for() -> None:
    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            await save(store, name, "user:a")
            await made.say(name, "from the page")
            with pytest.raises(TooMany):
                await save(store, name, "assistant:too early", patience=0.1)
            saving = asyncio.create_task(save(store, name, "assistant:b"))
            runs = made.runs()
            grant = await made.take(runs)
            await runs.final(grant, 1, 0, "completed", b"", ["", "to the page"])
            await saving
            assert said(await store.recall(name, ME)) == [
                ["user:from the page", "assistant:to the page"],
                ["user:a", "assistant:b"],
                [],
            ]

    run(main())


def test_everything_shares_one_sliding_life() -> None:
    """A13: `EXPIRE key 86400` after every save."""

    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            keys = made.keys.conversation(name)[:7]
            for line in ("user:a", "assistant:b"):
                for key in keys:
                    await made.client.pexpire(key, 5000)
                await save(store, name, line)
                lives = [await made.client.pttl(key) for key in keys]
                assert all(life in range(86_390_000, 86_400_001) for life in lives if life != -2), lives
            for key in keys:
                await made.client.pexpire(key, 5000)
            await store.recall(name, ME)
            assert await made.client.ttl(keys[0]) > 86_000

    run(main())


def test_what_is_not_there_is_not_begun_by_saving() -> None:
    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            with pytest.raises(NotFound):
                await save(store, store.name(), "user:a")
            for owner in ("you", ""):
                with pytest.raises(NotFound):
                    await store.recall(name, owner)
            await save(store, name, "user:secret")
            await made.conversations.delete(name)
            assert "secret" not in repr(await made.command("HVALS", made.keys.conversation(name)[0]))
            for work in (save(store, name, "user:a"), store.recall(name, ME)):
                with pytest.raises(Gone):
                    await work

    run(main())


def test_limits_hold() -> None:
    async def main() -> None:
        limits = Limits(message_bytes=100, reply_bytes=200, turns=2, history_bytes=500)
        async with bench(limits=limits) as made:
            store, name = await begun(made)
            for line in ("user:" + "é" * 51, "assistant:" + "é" * 101):
                with pytest.raises(TooLarge) as caught:
                    await save(store, name, line)
                assert caught.value.code == "message_too_large"
            await save(store, name, "user:" + "é" * 50)
            for _ in range(2):
                await save(store, name, "assistant:x")
            with pytest.raises(TooLarge) as caught:
                await save(store, name, "assistant:x")
            assert caught.value.code == "conversation_full"
            store, name = await begun(made)
            for _ in range(3):
                await save(store, name, "user:" + "x" * 99)
            with pytest.raises(TooLarge):
                await save(store, name, "user:" + "x" * 99)
            assert len((await store.recall(name, ME)).draft) == 3

    run(main())


def test_a_long_answer_is_stored_whole() -> None:
    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made)
            view = await made.view(name)
            text = "".join(chr(0x20 + at % 0x2000) for at in range(30_000))
            await save(store, name, f"assistant:{text}")
            recalled = await store.recall(name, ME)
            outcome = recalled.turns[0].outcome
            assert outcome is not None
            assert outcome.body == text
            view = await made.view(name, view)
            assert bytes(view.turns[recalled.head].body).decode() == text

    run(main())


def test_a_title_is_given_once() -> None:
    async def main() -> None:
        async with bench() as made:
            store, name = await begun(made, "Be brief.")
            await store.entitle(name, ME, "What is the capital of Italy?\nAnd why?")
            await store.entitle(name, ME, "Later")
            about = (await store.recall(name, ME)).about
            assert (about.title, about.instructions) == ("What is the capital of Italy?", "Be brief.")

    run(main())
