"""Retries: the same request again, before the first piece only."""

import email.utils
import time

import pytest

from parley.testing.upstream import ScriptedUpstream
from tests.models.helpers import ask, ask_raw, raw_server, run, sends


def test_a_stream_cut_before_its_first_piece_is_begun_anew() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 2 cut=0 times=1")
            assert heard.text == "t:0000 t:0001 "
            assert upstream.stats.started == 2

    run(main)


def test_loading_is_waited_for_visibly() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 1 status=503 estimated_time=0.2 times=2")
            assert heard.text == "t:0000 "
            assert [wait.reason for wait in heard.waits] == ["the upstream is loading the model"] * 2
            assert all(0.2 <= wait.seconds < 1 for wait in heard.waits)

    run(main)


def test_a_long_wait_is_told_again_and_again() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 1 status=503 estimated_time=1.2 times=1")
            assert [round(wait.seconds, 1) for wait in heard.waits] == [1.2, 0.2]

    run(main)


def test_retry_after_is_honoured() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            began = time.monotonic()
            heard = await ask(upstream, "say 1 status=429 retry_after=1 times=1")
            assert heard.finish
            assert time.monotonic() - began >= 1

    run(main)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_wait_beyond_the_deadline_is_not_begun(form: str) -> None:
    async def main() -> None:
        retry_after = "3600" if form == "seconds" else email.utils.formatdate(time.time() + 3600, usegmt=True)
        header = f"Retry-After: {retry_after}\r\n"
        async with raw_server(sends(b"{}", status="429 Slow", kind="application/json", headers=header)) as raw:
            began = time.monotonic()
            heard = await ask_raw(raw, tries=4)
            assert time.monotonic() - began < 2
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_rate_limited", True)
            assert heard.error.retry_after
            assert 3500 < heard.error.retry_after <= 3600

    run(main)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again(status: int) -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, f"say 1 status={status} times=1")
            assert heard.text == "t:0000 "
            assert heard.waits
            assert upstream.stats.started == 2

    run(main)


def test_tries_are_bounded() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 1 status=500", tries=2)
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_error", True)
            assert upstream.stats.started == 2

    run(main)
