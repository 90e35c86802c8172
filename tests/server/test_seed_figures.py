"""The second seed's figures, measured here again and printed; and each error of its model, as its users meet it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.models.helpers import raw_server, sends
from tests.server.test_seeds import answers
from tests.server.tutorial import Tutorial, tutorial


def test_d1_replies_that_arrive() -> None:
    """S: 1 of 2, 1 of 5, 1 of 10. P: N of N."""

    async def delivered(count: int) -> int:
        async with tutorial(servers=2) as t:
            tokens = [await t.token(f"user {number}") for number in range(count)]
            async with t.tabs(tokens) as tabs:
                for number, tab in enumerate(tabs):
                    await tab.say(f"say 3 tag=u{number} first=0.05")
                frames = await asyncio.gather(*(tab.frame() for tab in tabs))
        return sum(frame["msg"] == answers(3, f"u{number}") for number, frame in enumerate(frames))

    async def main() -> None:
        counts = {count: await delivered(count) for count in (2, 5, 10, 50)}
        print("\ndelivered: " + ", ".join(f"{arrived} of {count}" for count, arrived in counts.items()))
        assert all(arrived == count for count, arrived in counts.items())

    asyncio.run(main())


def test_d8_ids_and_times() -> None:
    """S: 4 messages, 1 id, 1 time. P: as many as messages."""

    async def main() -> None:
        async with tutorial() as t:
            token = await t.token()
            async with t.tab(token) as tab:
                for text in ("one", "two"):
                    await tab.ask(text)
            history = await t.history(token)
        ids = {message["id"] for message in history}
        times = [message["timestamp"] for message in history]
        print(f"\ndistinct ids and times: {min(len(ids), len(set(times)))} of {len(history)}")
        assert len(ids) == len(set(times)) == len(history) == 4
        assert times == sorted(times)

    asyncio.run(main())


def test_a_model_that_is_busy_is_asked_again() -> None:
    """429. S: KeyError, and the worker is gone. P: asked again when it said; one message, one answer."""

    async def main() -> None:
        async with tutorial() as t:
            token = await t.token()
            text = "say 3 status=429 retry_after=0.1 times=2"
            async with t.tab(token) as tab:
                assert await tab.ask(text) == answers(3)
            assert t.upstream.stats.started == 3
            assert await t.said(token) == [f"Human: {text}", f"Bot: {answers(3)}"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("status=410", "upstream_gone"),
        ("status=401", "upstream_auth"),
        ("status=404", "model_not_found"),
        ("status=422", "upstream_error"),
        ("html", "upstream_invalid"),
    ],
)
def test_what_will_not_pass_is_asked_once_and_told(fault: str, code: str) -> None:
    """S: KeyError, and the worker is gone. P: a frame with a code; the others, and the next message, are answered."""

    async def main() -> None:
        async with tutorial() as t:
            mine, others = await t.token("mine"), await t.token("others")
            async with t.tab(mine) as tab, t.tab(others) as other:
                await tab.say(f"say 3 {fault}")
                assert (await tab.frame())["error"]["code"] == code
                assert t.upstream.stats.started == 1
                assert await other.ask("say 2") == answers(2)
                assert await tab.ask("say 2") == answers(2)
            assert len(await t.said(mine)) == 4

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error":["sesame","too"]}', "upstream_error"),
        (400, b'{"error":"sesame"}', "upstream_error"),
        (400, b'{"error":{"message":"sesame"}}', "upstream_error"),
        (400, b'["sesame"]', "upstream_error"),
        (410, b"sesame is no longer supported", "upstream_gone"),
        (502, b"<html>sesame</html>", "upstream_error"),
        (200, b'{"error":["sesame"]}', "upstream_error"),
        (200, b'"sesame"', "upstream_invalid"),
    ],
)
def test_each_form_of_an_error_is_told_and_the_worker_lives(status: int, body: bytes, code: str) -> None:
    """S: KeyError or a traceback, and the worker is gone. P: a frame with a code, twice, and nothing of the body."""

    async def main() -> None:
        async with (
            raw_server(sends(body, status=f"{status} X", kind="application/json")) as raw,
            tutorial(workers=0) as t,
        ):
            there: Any = SimpleNamespace(root=raw.url)
            room = Tutorial(t.home, there)
            await room.work(tries=1)
            try:
                token = await t.token()
                async with t.tab(token) as tab:
                    for text in ("Hello", "Are you there?"):
                        await tab.say(text)
                        frame = await tab.frame()
                        assert frame["error"]["code"] == code
                        assert "sesame" not in str(frame)
                assert [line[:5] for line in await t.said(token)] == ["Human", "Bot: "] * 2
            finally:
                await room.close()

    asyncio.run(main())
