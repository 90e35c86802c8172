"""A worker answers, hands over, takes over, isolates; on a real Redis, with models that are Python functions."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from parley.core.assistant import Assistant
from parley.core.errors import Unavailable
from parley.core.limits import Limits, Timing
from parley.core.message import Message
from parley.core.pieces import Piece
from parley.core.turn import Outcome, Turn
from parley.core.view import View
from parley.core.window import Window
from parley.models.model import Finish, ModelError, Waiting
from parley.models.python import model
from parley.models.registry import Models
from parley.models.settings import ModelSettings
from parley.store.runs import Claim, IsolationDue
from parley.worker.worker import Worker
from tests.faults.figures import figure
from tests.redis_servers import running
from tests.store.harness import Bench, Memory, run

CALLS: list[tuple[Message, ...]] = []


@model("counting")
async def counting(messages: tuple[Message, ...], partial: str = "") -> AsyncIterator[Any]:
    """Says `word:0 word:1 ...`; goes on behind a partial answer."""
    CALLS.append(messages)
    word, _, count = messages[-1].content.partition(" ")
    for number in range(partial.count(" "), int(count or 5)):
        await asyncio.sleep(0.01)
        yield f"{word}:{number} "


@model("fickle")
async def fickle(messages: tuple[Message, ...]) -> AsyncIterator[Any]:
    """Says another thing each time, but for its first two words."""
    CALLS.append(messages)
    yield "once upon "
    for number in range(20):
        await asyncio.sleep(0.01)
        yield f"{len(CALLS)}.{number} "


@model("thinking")
async def thinking(messages: tuple[Message, ...]) -> AsyncIterator[Any]:
    yield Piece("hm", "reasoning")
    yield Waiting("loading", 0.01)
    yield "yes"
    yield Finish("length")


@model("broken")
async def broken(messages: tuple[Message, ...]) -> AsyncIterator[Any]:
    yield "half an "
    raise ModelError("upstream_cut", "The model stopped in mid-answer.")


@model("silent")
async def silent(messages: tuple[Message, ...]) -> AsyncIterator[Any]:
    yield "hello"
    await asyncio.sleep(3600)


@model("half a second")
async def half_a_second(messages: tuple[Message, ...]) -> AsyncIterator[Any]:
    await asyncio.sleep(0.5)
    yield "done"


def models() -> Models:
    named = ["counting", "fickle", "thinking", "broken", "silent", "half a second"]
    settings = [
        ModelSettings(name=name, kind="python", model=name, recovery="continue" if name == "counting" else "regenerate")
        for name in named
    ]
    few = ModelSettings(name="few", kind="python", model="half a second", concurrency=2)
    return Models((*settings, few))


class Crew:
    """Workers on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.models = models()
        self.assistants = {"brief": Assistant("brief", "counting", "Be brief.", Window(last=4))}
        self._tasks: dict[str, tuple[asyncio.Task[None], asyncio.Event, asyncio.Event]] = {}

    def start(self, name: str, **options: Any) -> Worker:
        worker = Worker(self.bench.runs(name), self.models, self.assistants, Memory(), Limits(), **options)
        leave, finish = asyncio.Event(), asyncio.Event()
        self._tasks[name] = (asyncio.create_task(worker.serve(leave, finish)), leave, finish)
        return worker

    async def stop(self, name: str, *, finish: bool = False) -> float:
        """As SIGTERM does, or SIGINT. Replies how long it took."""
        began = time.monotonic()
        task, leave, finishes = self._tasks.pop(name)
        (finishes if finish else leave).set()
        await task
        return time.monotonic() - began

    async def ended(self, conversation: str, *turns: str, seconds: float = 20) -> View:
        deadline = time.monotonic() + seconds
        view = View()
        while time.monotonic() < deadline:
            view = await self.bench.view(conversation, view)
            if all(view.turns[turn].status not in ("queued", "in_progress") for turn in turns):
                return view
            await asyncio.sleep(0.01)
        raise AssertionError(f"not ended: {view.turns}")

    async def text(self, conversation: str, turn: str, length: int) -> View:
        """Wait until a reply has so many bytes."""
        view = View()
        for _ in range(2000):
            view = await self.bench.view(conversation, view)
            if len(view.turns[turn].body) >= length:
                return view
            await asyncio.sleep(0.005)
        raise AssertionError("no text came")

    async def outcome(self, conversation: str, turn: str) -> Outcome:
        found: tuple[Turn, Any] | None = await self.bench.conversations.turn(conversation, turn)
        assert found is not None
        assert found[0].outcome is not None
        return found[0].outcome


@contextlib.asynccontextmanager
async def crew(timing: Timing | None = None) -> AsyncIterator[Crew]:
    with running() as server:
        bench = Bench(server.url, timing=timing or Timing(lease=0.6, scan=0.05), shards=4)
        made = Crew(bench)
        try:
            yield made
        finally:
            for name in list(made._tasks):
                await made.stop(name)
            await made.models.close()
            await bench.client.aclose()


def test_a_conversation_is_answered_with_its_history() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            CALLS.clear()
            conversation = await c.bench.conversation(assistant="brief")
            for word in ("one", "two", "three"):
                receipt = await c.bench.say(conversation, f"{word} 2")
                view = await c.ended(conversation, receipt.turn)
                assert view.turns[receipt.turn].body.decode() == f"{word}:0 {word}:1 "
            assert [message.content for message in CALLS[-1]] == ["Be brief.", "two 2", "two:0 two:1 ", "three 2"]
            assert [message.role for message in CALLS[-1]] == ["system", "user", "assistant", "user"]

    run(main())


def test_reasoning_waiting_and_length_are_kept_apart() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            conversation = await c.bench.conversation(model="thinking")
            receipt = await c.bench.say(conversation, "?")
            await c.ended(conversation, receipt.turn)
            outcome = await c.outcome(conversation, receipt.turn)
            assert (outcome.status, outcome.pieces.split(), outcome.finish_reason) == (
                "incomplete",
                ["r2", "3"],
                "length",
            )
            entries = await c.bench.conversations.read(conversation, "0-0")
            assert entries is not None
            assert any(b'"delayed"' in entry.data for entry in entries)

    run(main())


def test_a_failing_model_ends_the_turn_visibly() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            conversation = await c.bench.conversation(model="broken")
            receipt = await c.bench.say(conversation, "?")
            await c.ended(conversation, receipt.turn)
            outcome = await c.outcome(conversation, receipt.turn)
            assert outcome.error is not None
            assert (outcome.status, outcome.error.code, outcome.body) == ("failed", "upstream_cut", "half an ")
            for about, code in (({"model": "none"}, "model_not_found"), ({"assistant": "none"}, "assistant_not_found")):
                conversation = await c.bench.conversation(**about)
                receipt = await c.bench.say(conversation, "?")
                await c.ended(conversation, receipt.turn)
                outcome = await c.outcome(conversation, receipt.turn)
                assert outcome.error is not None
                assert outcome.error.code == code

    run(main())


def test_a_silent_model_is_given_up() -> None:
    async def main() -> None:
        async with crew(Timing(lease=0.4, scan=0.05, stall=0.3)) as c:
            c.start("a")
            conversation = await c.bench.conversation(model="silent")
            began = time.monotonic()
            receipt = await c.bench.say(conversation, "?")
            await c.ended(conversation, receipt.turn)
            ended = time.monotonic() - began
            outcome = await c.outcome(conversation, receipt.turn)
            assert outcome.error is not None
            assert (outcome.error.code, outcome.body) == ("upstream_stalled", "hello")
            figure("F37", patience_s=0.3, failed_s=ended)

    run(main())


def test_stop_closes_the_model() -> None:
    async def main() -> None:
        async with crew() as c:
            worker = c.start("a")
            conversation = await c.bench.conversation(model="silent")
            receipt = await c.bench.say(conversation, "?")
            await c.text(conversation, receipt.turn, 5)
            await c.bench.conversations.cancel(conversation, receipt.turn)
            for _ in range(200):
                if not worker._running:
                    break
                await asyncio.sleep(0.01)
            assert not worker._running
            assert (await c.outcome(conversation, receipt.turn)).body == "hello"

    run(main())


def test_handing_over_goes_on_at_the_same_letter() -> None:
    async def main() -> None:
        async with crew(Timing(lease=30, scan=10)) as c:
            c.start("a")
            conversation = await c.bench.conversation(model="counting")
            receipt = await c.bench.say(conversation, "x 60")
            before = await c.text(conversation, receipt.turn, 40)
            c.start("b")
            assert await c.stop("a") < 0.5
            view = await c.ended(conversation, receipt.turn, seconds=10)
            shown = view.turns[receipt.turn]
            assert shown.body.decode() == "".join(f"x:{number} " for number in range(60))
            assert shown.body.startswith(before.turns[receipt.turn].body)
            assert (shown.rewinds, view.takeovers, shown.status) == (0, 1, "completed")

    run(main())


def test_a_worker_that_finishes_takes_nothing_new() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            conversation, other = await c.bench.conversation(model="counting"), await c.bench.conversation()
            receipt = await c.bench.say(conversation, "x 60")
            await c.text(conversation, receipt.turn, 20)
            finishing = asyncio.create_task(c.stop("a", finish=True))
            await asyncio.sleep(0.1)
            later = await c.bench.say(other, "x 1")
            await finishing
            assert (await c.bench.view(conversation)).turns[receipt.turn].status == "completed"
            assert (await c.bench.view(other)).turns[later.turn].status == "queued"

    run(main())


def test_a_model_that_cannot_continue_is_rewound_once() -> None:
    async def main() -> None:
        async with crew(Timing(lease=30, scan=10)) as c:
            c.start("a")
            conversation = await c.bench.conversation(model="fickle")
            receipt = await c.bench.say(conversation, "?")
            await c.text(conversation, receipt.turn, 40)
            c.start("b")
            await c.stop("a")
            view = await c.ended(conversation, receipt.turn, seconds=10)
            shown = view.turns[receipt.turn]
            number = len(CALLS)
            assert shown.body.decode() == "once upon " + "".join(f"{number}.{at} " for at in range(20))
            assert shown.rewinds == 1

    run(main())


def test_a_worker_that_takes_over_from_itself_drops_its_older_try() -> None:
    async def main() -> None:
        async with crew(Timing(lease=0.6, scan=0.05)) as c:
            worker = c.start("a")
            conversation = await c.bench.conversation(model="silent")
            receipt = await c.bench.say(conversation, "?")
            await c.text(conversation, receipt.turn, 5)
            await c.bench.runs("a").evict("a")
            deadline = time.monotonic() + 5
            while (await c.bench.view(conversation)).takeovers == 0 or len(worker._running) > 1:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            await c.bench.conversations.cancel(conversation, receipt.turn)

    run(main())


def test_ten_sessions_are_answered_together() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            conversations = [await c.bench.conversation(model="half a second") for _ in range(10)]
            began = time.monotonic()
            receipts = [await c.bench.say(conversation, "?") for conversation in conversations]
            for conversation, receipt in zip(conversations, receipts, strict=True):
                await c.ended(conversation, receipt.turn)
            print(f"10 sessions on a 0.5 s model: {time.monotonic() - began:.2f} s (the tutorial's worker: 5.36 s)")
            assert time.monotonic() - began < 2.5

    run(main())


def test_behind_a_worker_without_a_place_the_line_is_short() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a", concurrency=3)
            silent = [
                (name := await c.bench.conversation(model="silent"), await c.bench.say(name, "?")) for _ in range(3)
            ]
            for conversation, receipt in silent:
                await c.text(conversation, receipt.turn, 5)
            accepted, refusals = [], []
            for _ in range(100):
                conversation = await c.bench.conversation(model="counting")
                try:
                    accepted.append((conversation, await c.bench.say(conversation, "one 1")))
                except Unavailable as error:
                    refusals.append(error.code)
                await asyncio.sleep(0.01)
            # One in each of the four shards, but for what came before the worker's word did.
            assert len(accepted) < 20
            assert {*refusals} == {"overloaded"}
            for conversation, receipt in silent:
                assert (await c.bench.conversations.cancel(conversation, receipt.turn))[0]
            for conversation, receipt in accepted:
                await c.ended(conversation, receipt.turn)
            await c.bench.say(await c.bench.conversation(model="counting"), "there is room again 1")

    run(main())


def test_a_flushed_store_is_prepared_again() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            conversation = await c.bench.conversation(model="counting")
            await c.ended(conversation, (await c.bench.say(conversation, "x 1")).turn)
            await c.bench.client.flushall()
            conversation = await c.bench.conversation(model="counting")
            await c.ended(conversation, (await c.bench.say(conversation, "x 1")).turn)

    run(main())


def test_an_upstreams_places_are_respected_by_two_workers() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            c.start("b")
            conversations = [await c.bench.conversation(model="few") for _ in range(6)]
            began = time.monotonic()
            receipts = [await c.bench.say(conversation, "?") for conversation in conversations]
            for conversation, receipt in zip(conversations, receipts, strict=True):
                await c.ended(conversation, receipt.turn)
            assert time.monotonic() - began > 1.4

    run(main())


def test_two_workers_answer_each_message_once() -> None:
    async def main() -> None:
        async with crew() as c:
            c.start("a")
            c.start("b")
            CALLS.clear()
            conversations = [await c.bench.conversation(model="counting") for _ in range(8)]
            receipts = []
            for conversation in conversations:
                receipts += [(conversation, await c.bench.say(conversation, f"w{number} 3")) for number in range(3)]
            for conversation, receipt in receipts:
                await c.ended(conversation, receipt.turn)
            assert len(CALLS) == 24

    run(main())


async def two_deaths(c: Crew, conversation: str) -> None:
    """Two workers die of the turn."""
    for name in ("dead-1", "dead-2"):
        await c.bench.runs(name).prepare()
        runs = c.bench.runs(name)
        await c.bench.take(runs)
        await runs.evict(name)


def test_the_third_attempt_is_isolated() -> None:
    isolated: list[Claim] = []

    async def main() -> None:
        async with crew() as c:
            conversation = await c.bench.conversation(model="counting")
            receipt = await c.bench.say(conversation, "x 3")
            await two_deaths(c, conversation)

            async def isolate(claim: Claim) -> None:
                isolated.append(claim)
                await asyncio.sleep(2 * c.bench.timing.lease)  # a slow start costs nothing: the token is kept
                lane = Worker(c.bench.runs("lane"), c.models, c.assistants, Memory(), Limits())
                await lane.serve_one(claim, "a", asyncio.Event())

            c.start("a", isolate=isolate)
            view = await c.ended(conversation, receipt.turn)
            assert view.turns[receipt.turn].body.decode() == "x:0 x:1 x:2 "
            assert len(isolated) == 1
            assert (await c.outcome(conversation, receipt.turn)).attempts == 3

    run(main())


def test_only_so_many_are_isolated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After many deaths in a row many turns are due: their processes must not starve the machine."""
    monkeypatch.setattr("parley.worker.worker.LANES", 2)
    at_once: list[int] = [0]

    async def main() -> None:
        # A lease that does not run out while this is set up: a turn that lost one death would not be due.
        async with crew(Timing(lease=2.0, scan=0.05)) as c:
            c.bench.timing = msgspec.structs.replace(c.bench.timing, attempts=1000, attempts_total=1000)
            asked = []
            for _ in range(4):
                conversation = await c.bench.conversation(model="counting")
                asked.append((conversation, (await c.bench.say(conversation, "x 3")).turn))
            for name in ("dead-1", "dead-2"):
                runs = c.bench.runs(name)
                await runs.prepare()
                for _ in asked:
                    await c.bench.take(runs)
                await runs.evict(name)
            full = asyncio.Event()

            async def isolate(claim: Claim) -> None:
                at_once.append(at_once[-1] + 1)
                if at_once[-1] == 2:
                    full.set()
                await full.wait()
                await asyncio.sleep(1.5 * c.bench.timing.lease)  # the tokens of those that wait are kept
                at_once.append(at_once[-1] - 1)

            c.start("a", isolate=isolate)
            for conversation, turn in asked:
                assert (await c.ended(conversation, turn, seconds=60)).turns[turn].status == "completed"

    run(main())
    assert max(at_once) == 2
    assert at_once[-1] == 0


def test_a_turn_that_cannot_be_isolated_is_run_all_the_same() -> None:
    async def main() -> None:
        async with crew() as c:
            conversation = await c.bench.conversation(model="counting")
            receipt = await c.bench.say(conversation, "x 3")
            await two_deaths(c, conversation)

            async def isolate(claim: Claim) -> None:
                """No process can be begun."""

            c.start("a", isolate=isolate)
            view = await c.ended(conversation, receipt.turn)
            assert view.turns[receipt.turn].status == "completed"

    run(main())


def test_a_worker_lost_while_it_isolates_costs_no_attempt() -> None:
    async def main() -> None:
        async with crew() as c:
            conversation = await c.bench.conversation(model="counting")
            receipt = await c.bench.say(conversation, "x 3")
            await two_deaths(c, conversation)
            for name in ("lost-1", "lost-2", "lost-3"):
                runs = c.bench.runs(name)
                claim = await c.bench.claim(runs)
                with pytest.raises(IsolationDue):
                    await runs.acquire(claim, name, isolate=True)
                await runs.evict(name)
            c.start("a")
            await c.ended(conversation, receipt.turn)
            assert (await c.outcome(conversation, receipt.turn)).attempts == 3

    run(main())


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.2])
def test_redis_killed_in_mid_reply_loses_nothing(moment: float) -> None:
    async def main() -> None:
        with running() as server:
            bench = Bench(server.url, timing=Timing(lease=2, scan=0.1), shards=2)
            c = Crew(bench)
            c.start("a")
            conversation = await bench.conversation(model="counting")
            receipt = await bench.say(conversation, "x 80")
            await c.text(conversation, receipt.turn, 20)
            await asyncio.sleep(moment)
            await asyncio.to_thread(server.restart)
            view = await c.ended(conversation, receipt.turn)
            assert view.turns[receipt.turn].body.decode() == "".join(f"x:{number} " for number in range(80))
            await c.stop("a")
            await bench.client.aclose()

    run(main())
