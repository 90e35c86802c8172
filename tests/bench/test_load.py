"""The load client against an upstream that lies: every planted fault is told, none is invented."""

import asyncio

import pytest
import uvloop

from parley.bench import upstream as module
from parley.bench.drivers import Chat
from parley.bench.http import Failed, Origin
from parley.bench.load import Load, Plan, Told
from parley.bench.speech import Ask
from parley.bench.upstream import Connection, Upstream

PLAN = Plan(conversations=3, turns=2, tokens=12, delay=0.002, ramp=0.01)


def loaded(plan: Plan = PLAN) -> Told:
    """What a load on an upstream in this process comes to."""

    async def run() -> Told:
        shared = Upstream()
        server = await asyncio.get_running_loop().create_server(lambda: Connection(shared), "127.0.0.1", 0)
        root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        load = Load(plan, lambda: Chat(Origin(f"{root}/v1"), "bench"), Origin(root))
        try:
            await load.open()
            return await load.run()
        finally:
            load.close()
            server.close()

    return uvloop.run(run())


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the upstream says instead of the right tokens, once it holds something."""
    instead: list[str] = []

    def events(ask: Ask, model: str, usage: dict[str, int] | None) -> tuple[bytes, list[bytes], bytes]:
        opening, tokens, closing = original(ask, model, usage)
        if instead:
            how, at = instead
            place = int(at)
            middle = {"lose": [], "repeat": [tokens[place]] * 2, "change": [tokens[place].replace(b":000", b":0O0")]}
            tokens = [*tokens[:place], *middle[how], *tokens[place + 1 :]]
        return opening, tokens, closing

    original = module.events
    monkeypatch.setattr(module, "events", events)
    return instead


def test_right_replies_are_right(say: list[str]) -> None:
    told = loaded()
    assert (told.replies, told.wrong, told.failed, told.refused) == (6, 0, 0, 0)
    assert told.tokens == 6 * 12
    assert told.first.count == 6
    assert told.lag.count == 6 * 12
    assert told.upstream_late["count"] == 6 * 12


@pytest.mark.parametrize("at", [0, 5, 11])
@pytest.mark.parametrize("how", ["lose", "repeat", "change"])
def test_a_planted_fault_is_told(say: list[str], how: str, at: int) -> None:
    say += [how, str(at)]
    told = loaded()
    assert told.wrong == 3  # a conversation with a wrong reply says no more
    assert told.replies == 0
    assert told.errors


def test_as_fast_as_they_come(say: list[str]) -> None:
    told = loaded(Plan(conversations=4, turns=2, tokens=3000, delay=0, ramp=0))
    assert (told.replies, told.tokens, told.wrong) == (8, 24_000, 0)


def test_the_schedule_is_kept(say: list[str]) -> None:
    """No token is early; how late they are depends on the machine."""
    told = loaded(Plan(conversations=1, turns=1, tokens=20, delay=0.01, ramp=0))
    assert told.wall >= 19 * 0.01
    assert told.lag.quantile(0.0) >= 0


def test_a_server_that_is_not_there() -> None:
    async def run() -> None:
        await Load(PLAN, lambda: Chat(Origin("http://127.0.0.1:1"), "bench"), None).open()

    with pytest.raises(Failed, match=r"127\.0\.0\.1:1 cannot be reached"):
        uvloop.run(run())


def test_a_reply_that_does_not_end_is_a_failure(say: list[str]) -> None:
    told = loaded(Plan(conversations=1, turns=2, tokens=3, delay=30, ramp=0, patience=0.2))
    assert (told.failed, told.replies) == (1, 0)
    assert told.errors == ["no end of the reply after 0.2 s"]
