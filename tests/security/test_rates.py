"""X15, B72: rates and budgets, in the store."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable

import pytest

from parley.core.errors import Conflict, TooMany
from parley.core.limits import Limits, Timing
from parley.core.quota import Budget, Quota, Rate
from parley.core.turn import Usage
from parley.store.connect import Client
from parley.store.rates import OverQuota, Rates, TooFast
from parley.store.runs import Fenced, Grant, Runs
from parley.wire.record import encode_extra
from tests.store.harness import Bench, bench, run

ANN = Rate("session:ann", 6)


@pytest.fixture(params=["one server", "apart"])
def apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same done in the post's script, and, as on a cluster, before it."""
    monkeypatch.setattr(Client, "clustered", request.param == "apart")


DAY = Budget("session:ann", 100)
pytestmark = pytest.mark.usefixtures("apart")


def test_a_minutes_worth_at_once_then_evenly() -> None:
    async def main() -> None:
        async with bench(shards=16) as b:
            left = []
            for _ in range(6):
                # Each in a conversation of its own, most of them in a shard of their own.
                receipt = await b.say(await b.conversation(), "x", quota=Quota((ANN,)))
                assert receipt.standing is not None
                left.append((receipt.standing.limit, receipt.standing.remaining))
                assert 0 < receipt.standing.reset <= 60
            assert left == [(6, 5), (6, 4), (6, 3), (6, 2), (6, 1), (6, 0)]
            with pytest.raises(TooFast) as refused:
                await b.say(await b.conversation(), "x", quota=Quota((ANN,)))
            assert (refused.value.code, refused.value.status) == ("rate_limit_exceeded", 429)
            assert 0 < (refused.value.retry_after or 0) <= 10
            # Others are not concerned; and when its time has come, there is one more, not six.
            await b.say(await b.conversation(), "x", quota=Quota((Rate("session:bob", 6),)))
            await refill(b, ANN, 10_000)
            await b.say(await b.conversation(), "x", quota=Quota((ANN,)))
            with pytest.raises(TooFast):
                await b.say(await b.conversation(), "x", quota=Quota((ANN,)))

    run(main())


async def refill(b: Bench, rate: Rate, milliseconds: int) -> None:
    """Let time pass for a bucket, without waiting."""
    key = b.keys.rate(rate.name)
    full = float(await b.command("GET", key))
    await b.command("SET", key, full - milliseconds, "KEEPTTL")


def test_a_repeat_is_neither_counted_nor_refused() -> None:
    async def main() -> None:
        async with bench() as b:
            conversation = await b.conversation()
            quota = Quota((Rate("ann", 2),), (Budget("ann", 1),))
            for _ in range(9):
                receipt = await b.say(conversation, "x", "one", quota=quota)
            assert receipt.replayed
            await b.say(conversation, "x", "two", quota=quota)
            await b.command("HSET", b.keys.spent[0], "ann", 5)
            for refusal, more in ((OverQuota, quota), (TooFast, Quota(quota.rates))):
                with pytest.raises(refusal):
                    await b.say(conversation, "x", "three", quota=more)
                for key in ("one", "two"):
                    assert (await b.say(conversation, "x", key, quota=more)).replayed
                with pytest.raises(Conflict):
                    await b.say(conversation, "something else", "one", quota=more)

    run(main())


def test_what_is_refused_for_another_reason_is_not_counted() -> None:
    async def main() -> None:
        async with bench(limits=Limits(queue=1)) as b:
            conversation = await b.conversation()
            quota = Quota((Rate("ann", 3), Rate("address", 2)))
            await b.say(conversation, "x", quota=quota)
            for _ in range(5):
                with pytest.raises(TooMany) as busy:
                    await b.say(conversation, "x", quota=quota)
                assert busy.value.code == "conversation_busy"
            await b.say(await b.conversation(), "x", quota=quota)
            # The one that is short is told, and nothing is taken of the other one.
            for _ in range(5):
                with pytest.raises(TooFast) as fast:
                    await b.say(await b.conversation(), "x", quota=quota)
                assert fast.value.standing.limit == 2
            receipt = await b.say(await b.conversation(), "x", quota=Quota((Rate("ann", 3),)))
            assert receipt.standing is not None
            assert receipt.standing.remaining == 0

    run(main())


def test_many_at_once_get_what_there_is() -> None:
    async def main() -> None:
        async with bench(shards=16) as b:
            names = [await b.conversation() for _ in range(40)]
            posts = [b.say(name, "x", quota=Quota((Rate("ann", 10),))) for name in names]
            told = await asyncio.gather(*posts, return_exceptions=True)
            refused = [each for each in told if isinstance(each, TooFast)]
            # On a machine that is slow enough there is one more every 6 s.
            assert 25 <= len(refused) <= 30
            assert len(told) - len(refused) == sum(not isinstance(each, BaseException) for each in told)

    run(main())


def test_rates_of_what_is_no_post() -> None:
    async def main() -> None:
        async with bench(shards=16) as b:
            rates, name, address = Rates(b.client, b.keys), Rate("login:ann", 3), Rate("login:192.0.2.1", 5)
            for _ in range(3):
                await rates.take(name, address)
            with pytest.raises(TooFast):
                await rates.take(name, address)
            await rates.give_back(name, address)
            await rates.take(name, address)
            for _ in range(2):
                await rates.take(address)
            with pytest.raises(TooFast):
                await rates.take(address)
            # What is given back too often is not more than all.
            for _ in range(9):
                await rates.give_back(address)
            for _ in range(5):
                await rates.take(address)
            with pytest.raises(TooFast):
                await rates.take(address)

    run(main())


# Budgets.


async def spent(b: Bench, name: str = "session:ann") -> int:
    return sum([int(await b.command("HGET", key, name) or 0) for key in b.keys.spent])


def usage(given: int, made: int) -> bytes:
    return encode_extra(usage=Usage(given, made), model='odd","input_tokens":7,"x":"')


def test_a_days_tokens_over_all_conversations() -> None:
    async def main() -> None:
        async with bench(shards=16) as b:
            runs, quota = b.runs(), Quota(budgets=(DAY, Budget("model:m", 1_000)))
            await runs.prepare()
            for at in range(3):
                await b.say(await b.conversation(), "x", quota=quota)
                grant = await b.take(runs)
                for _ in range(2):  # the end may be told twice
                    await runs.final(grant, 1, 0, "completed", usage(30, 4), ["", "hello"] if at else [])
                assert (await spent(b), await spent(b, "model:m")) == (34 * (at + 1),) * 2
            with pytest.raises(OverQuota) as refused:
                await b.say(await b.conversation(), "x", quota=quota)
            assert (refused.value.code, refused.value.status) == ("insufficient_quota", 429)
            assert 0 < (refused.value.retry_after or 0) <= 86_400
            await b.say(await b.conversation(), "x", quota=Quota(budgets=(Budget("model:m", 1_000),)))
            left = [await b.command("PTTL", key) for key in b.keys.spent if await b.command("EXISTS", key)]
            midnight = 86_400_000 - time.time() * 1000 % 86_400_000
            assert all(abs(each - midnight) % 86_400_000 < 60_000 for each in left)

    run(main())


def test_a_turn_is_counted_once_over_takeovers() -> None:
    """However many workers answered it, and whatever they cost upstream."""

    async def main() -> None:
        async with bench(timing=Timing(lease=0.05)) as b:
            await b.say(await b.conversation(), "x", quota=Quota(budgets=(DAY,)))
            grants: list[tuple[Runs, Grant]] = []
            for number in range(3):
                runs = b.runs(f"w{number}")
                grants.append((runs, await b.take(runs)))
                assert await spent(b) == 0
            for runs, grant in grants:
                with contextlib.suppress(Fenced):  # those who lost it
                    await runs.final(grant, 1, 0, "completed", usage(20, 1), [])
            assert await spent(b) == 21

    run(main())


async def cancelled(b: Bench, conversation: str, turn: str) -> None:
    await b.conversations.cancel(conversation, turn)


async def interrupted(b: Bench, conversation: str, _: str) -> None:
    await b.say(conversation, "y", policy="interrupt")


async def deleted(b: Bench, conversation: str, _: str) -> None:
    await b.conversations.delete(conversation)


@pytest.mark.parametrize("end", [cancelled, interrupted, deleted])
def test_what_was_said_is_paid_for_however_it_ends(end: Callable[[Bench, str, str], Awaitable[None]]) -> None:
    """Nobody gets replies for nothing by stopping them just before their end: four bytes are a token then."""

    async def main() -> None:
        async with bench() as b:
            conversation = await b.conversation()
            receipt = await b.say(conversation, "x", quota=Quota(budgets=(DAY,)))
            waiting = await b.say(conversation, "never said", quota=Quota(budgets=(DAY,)))
            runs = b.runs()
            grant = await b.take(runs)
            await b.append(runs, grant, 0, "x" * 400)
            for _ in range(2):
                await end(b, conversation, receipt.turn)
            found = await spent(b)
            assert 100 <= found <= 130
            if end is not deleted:
                await b.conversations.cancel(conversation, waiting.turn)
            assert await spent(b) == found

    run(main())


def test_without_limits_nothing_is_kept() -> None:
    async def main() -> None:
        async with bench() as b:
            runs = b.runs()
            await b.say(await b.conversation(), "x", key=secrets.token_hex(4))
            await runs.final(await b.take(runs), 1, 0, "completed", usage(20, 1), ["", "hello"])
            kept = [key for key in await b.command("KEYS", "*") if b"rate" in key or b"spent" in key]
            assert kept == []

    run(main())
