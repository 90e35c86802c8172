"""F01, F03 to F08: worker processes that die, stand still or are told to go, at a moment that is chosen."""

import asyncio
import signal
import time
from functools import partial

import pytest

from parley.testing.upstream import Stats
from tests.faults.catalogue import times
from tests.faults.figures import figure
from tests.faults.proxy import Fault, load_scripts
from tests.faults.stage import PATIENCE, Stage, said, stage, until
from tests.store.harness import run

LEASE = 1.0


async def settled(s: Stage, conversation: str, turn: str, tag: str, tokens: int) -> None:
    """The answer is whole, in the eyes of a viewer from the beginning and in the record, and there is one end."""
    view = await s.ended(conversation, turn)
    outcome = await s.outcome(conversation, turn)
    assert view.turns[turn].body.decode() == said(tag, tokens) == outcome.body
    assert outcome.status == "completed"
    assert (await s.kinds(conversation)).count("end") == 1


def test_killed_before_the_first_token() -> None:
    async def main() -> None:
        async with stage(lease=LEASE) as s:
            one = await s.worker()
            conversation, _ = await s.say("say 10 tag=a first=600")
            await until(lambda: s.upstream.stats.started == 1, "the model to be asked")
            one.kill()
            began = time.monotonic()
            await s.worker()
            other, soon = await s.say("say 3 tag=b")
            await settled(s, other, soon, "b", 3)
            # The model thinks for ten minutes, whoever asks: that it is asked again, in silence, is what counts.
            await until(lambda: s.upstream.stats.by_tag.get("a") == 2, "the model to be asked again")
            kinds = await s.kinds(conversation)
            assert kinds == ["queued", "started", "takeover"]
            figure("F01", until_asked_again_s=time.monotonic() - began, rewinds=kinds.count("rewind"))

    run(main())


@pytest.mark.parametrize(("backend", "rewinds"), [("llama.cpp", 0), ("openai", 1)])
def test_killed_in_mid_reply(backend: str, rewinds: int) -> None:
    async def main() -> None:
        async with stage(lease=LEASE, backend=backend) as s:
            await s.worker()
            for number in range(times(1, 50)):
                tag = f"t{number}"
                conversation, turn = await s.say(f"say 60 tag={tag} delay=0.01{' vary' if rewinds else ''}")
                await s.text(conversation, turn, 100)
                (await s.holder()).kill()
                began = time.monotonic()
                await s.worker()
                view = await s.ended(conversation, turn)
                kinds = await s.kinds(conversation)
                assert kinds.count("rewind") == view.turns[turn].rewinds == rewinds
                body = view.turns[turn].body.decode()
                # An answer that was begun anew is all of one making.
                assert body == "".join(f"{tag}{'.r2' if rewinds else ''}:{at:04d} " for at in range(60))
                figure("F03" if rewinds else "F02", until_the_end_s=time.monotonic() - began, rewinds=rewinds)

    run(main())


def test_killed_between_the_last_piece_and_the_end() -> None:
    async def main() -> None:
        async with stage(lease=LEASE) as s:
            one = await s.worker()
            one.proxy.rule = lambda call: Fault.CUT_BEFORE if call.name == "final" else None
            conversation, turn = await s.say("say 10 tag=a")
            await until(lambda: one.proxy.lost["final"] > 0, "the end to be lost")
            one.kill()
            killed = time.monotonic()
            assert "end" not in await s.kinds(conversation)
            await s.worker()
            await settled(s, conversation, turn, "a", 10)
            figure("F04", until_the_end_s=time.monotonic() - killed, ends=(await s.kinds(conversation)).count("end"))

    run(main())


def test_killed_when_the_end_is_written() -> None:
    async def main() -> None:
        async with stage(lease=LEASE) as s:
            one = await s.worker()
            await load_scripts(s.bench.client)
            one.proxy.rule = lambda call: Fault.CUT_AFTER if call.name == "final" else None
            conversation, turn = await s.say("say 10 tag=a")
            await until(lambda: one.proxy.replies["final", b"OK"] > 0, "the end to be written")
            one.kill()
            await s.worker()
            await settled(s, conversation, turn, "a", 10)
            # Were it answered again, it would be before what is said later.
            other, later = await s.say("say 3 tag=b")
            await asyncio.sleep(2 * LEASE)
            await settled(s, other, later, "b", 3)
            assert s.upstream.stats.by_tag == {"a": 1, "b": 1}
            figure("F05", ends=(await s.kinds(conversation)).count("end"), model_asked=s.upstream.stats.by_tag["a"])

    run(main())


def test_stopped_for_longer_than_its_lease() -> None:
    async def main() -> None:
        async with stage(lease=LEASE) as s:
            for _ in range(2):
                await s.worker()
            for number in range(times(1, 20)):
                conversation, turn = await s.say(f"say 250 tag=t{number} delay=0.03")
                await s.text(conversation, turn, 60)
                zombie = await s.holder()
                zombie.signal(signal.SIGSTOP)
                stopped = time.monotonic()
                while "takeover" not in await s.kinds(conversation):
                    await asyncio.sleep(0.02)
                taken = time.monotonic() - stopped
                fenced, left = sum_fenced(zombie.proxy.replies), s.upstream.stats.disconnected
                zombie.signal(signal.SIGCONT)
                woke = time.monotonic()
                # It learns of it with its next write, and hangs up on the model.
                await s.upstream.until(partial(hung_up, left), PATIENCE)
                closed = time.monotonic() - woke
                await settled(s, conversation, turn, f"t{number}", 250)
                refused = sum_fenced(zombie.proxy.replies) - fenced
                assert refused > 0
                figure("F06", lease_s=LEASE, taken_over_s=taken, late_writes_refused=refused, model_closed_s=closed)

    run(main())


def hung_up(before: int, stats: Stats) -> bool:
    """Whether one more reader has left the model."""
    return stats.disconnected > before


def sum_fenced(replies: dict[tuple[str, bytes], int]) -> int:
    """How often scripts were refused for their fence."""
    return sum(count for (_, word), count in replies.items() if word == b"FENCED")


BLOCKING = """
import asyncio, os, time
from parley.models.python import model

@model("blocking")
async def blocking(messages, partial=""):
    for number in range(partial.count(" "), 40):
        if number == 10 and not os.path.exists(os.environ["BLOCKED"]):
            open(os.environ["BLOCKED"], "w").close()
            await asyncio.sleep(0.1)
            time.sleep(float(os.environ["BLOCK"]))
        await asyncio.sleep(0.02)
        yield f"w:{number:04d} "
"""


def test_an_event_loop_that_is_blocked_for_longer_than_its_lease() -> None:
    async def main() -> None:
        lines = 'kind = "python"\nmodel = "blocking_model:blocking"\nrecovery = "continue"'
        async with stage(lease=LEASE, model=lines) as s:
            (s.directory / "blocking_model.py").write_text(BLOCKING)
            env = {"PYTHONPATH": s.path, "BLOCKED": str(s.directory / "blocked"), "BLOCK": str(3 * LEASE)}
            for _ in range(2):
                await s.worker(**env)
            conversation, turn = await s.say("go")
            await s.text(conversation, turn, 60)
            blocked = await s.holder()
            await settled(s, conversation, turn, "w", 40)
            assert "takeover" in await s.kinds(conversation)
            await until(lambda: sum_fenced(blocked.proxy.replies) > 0, "the blocked worker to be refused")
            figure("F07", blocked_s=3 * LEASE, late_writes_refused=sum_fenced(blocked.proxy.replies))

    run(main())


def test_told_to_go_with_fifty_replies_under_way() -> None:
    async def main() -> None:
        async with stage(lease=30.0) as s:
            one, two = await s.worker(), await s.worker()
            two.signal(signal.SIGSTOP)  # so that all are the first one's
            await asyncio.sleep(1)  # longer than Redis waits for it
            spoken = [await s.say(f"say 60 tag=t{number} delay=0.1") for number in range(50)]
            for conversation, turn in spoken:
                await s.text(conversation, turn, 1)
            two.signal(signal.SIGCONT)
            began = time.monotonic()
            one.signal(signal.SIGTERM)
            assert await asyncio.to_thread(one.process.process.wait, PATIENCE) == 0
            left = time.monotonic() - began
            for number, (conversation, turn) in enumerate(spoken):
                await settled(s, conversation, turn, f"t{number}", 60)
                entries = await s.bench.conversations.read(conversation, "0-0")
                assert entries is not None
                # Charged, it would be the second attempt.
                assert [b'"attempt":1' in entry.data for entry in entries if b'"takeover"' in entry.data] == [True]
            assert two.process.process.poll() is None
            figure("F08", handed_over=50, exit_s=left)

    run(main())
