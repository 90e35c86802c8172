"""What an operator sees of a deployment just now, as Redis has it."""

from parley.store.overview import look
from tests.store.harness import Bench, bench, run


def test_what_waits_what_runs_and_who_works() -> None:
    async def main() -> None:
        async with bench() as b:
            await story(b)

    async def story(b: Bench) -> None:
        empty = await look(b.client, b.keys)
        assert (empty.waiting, empty.oldest, empty.dead, empty.running, empty.workers) == (0, 0.0, 0, [], [])
        runs = b.runs("busy")
        conversation, other = await b.conversation(), await b.conversation()
        await b.say(conversation, "hello")
        grant = await b.take(runs)
        await b.append(runs, grant, 0, "héllo")
        await b.say(other, "waits")
        seen = await look(b.client, b.keys)
        assert (seen.waiting, seen.dead) == (1, 0)
        assert 0 <= seen.oldest < 60
        (one,) = seen.running
        assert (one.conversation, one.worker, one.size, one.attempts) == (conversation, "busy", 6, 1)
        assert 0 <= one.renewed < 60
        assert [(each.name, each.turns) for each in seen.workers] == [("busy", 1)]
        await runs.final(grant, 1, 6, "completed", b"", [])
        done = await look(b.client, b.keys)
        assert (done.waiting, done.running) == (1, [])
        assert [(each.name, each.turns) for each in done.workers] == [("busy", 0)]

    run(main())
