"""An upstream's connections: deadlines, breaks, and being closed at once."""

import asyncio
import socket
import time

import pytest

from parley.core.pieces import Piece
from parley.models.backend import BACKENDS, Backend
from parley.models.secret import Secret
from parley.testing.script import Script
from parley.testing.upstream import ScriptedUpstream
from tests.models.helpers import (
    DONE,
    STOP,
    RawServer,
    ask,
    ask_raw,
    asking,
    chunk,
    hear,
    open_model,
    raw_server,
    read_request,
    run,
    sends,
)

LLAMA = BACKENDS["llama.cpp"]


def test_redirects_are_not_followed() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as target:
            location = f"Location: {target.url}/chat/completions\r\n"
            for status in (301, 302, 307, 308):
                async with raw_server(sends(status=f"{status} Moved", headers=location)) as raw:
                    heard = await ask_raw(raw, api_key=Secret("sesame"))
                    assert heard.error
                    assert (heard.error.code, heard.error.retryable) == ("upstream_error", False)
            assert target.stats.started == 0

    run(main)


def test_bytes_that_are_not_http_are_an_error() -> None:
    async def main() -> None:
        async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(raw, reader)
            writer.write(b"SSH-2.0-sesame\r\n\r\n")
            await writer.drain()

        async with raw_server(script) as raw:
            heard = await ask_raw(raw)
            assert heard.error
            assert heard.error.code in ("upstream_invalid", "upstream_unreachable")
            assert "sesame" not in heard.error.message

    run(main)


def test_a_compressed_answer_is_refused_unread() -> None:
    async def main() -> None:
        async with raw_server(sends(b"\x1f\x8b" * 99, headers="Content-Encoding: gzip\r\n")) as raw:
            heard = await ask_raw(raw)
            assert heard.error
            assert heard.error.code == "upstream_invalid"
            assert b"Accept-Encoding: identity" in raw.requests[0]

    run(main)


def test_silence_before_the_first_piece_times_out() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 5 first=30", first_token=0.3)
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_timeout", True)
            await upstream.until(lambda stats: stats.disconnected == 1, 1)

    run(main)


def test_a_server_that_takes_the_request_and_says_nothing_times_out() -> None:
    async def main() -> None:
        async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(raw, reader)
            await reader.read()
            raw.left.set()

        async with raw_server(script) as raw:
            heard = await ask_raw(raw, first_token=0.2)
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_timeout", True)
            await asyncio.wait_for(raw.left.wait(), 1)

    run(main)


def test_the_first_token_deadline_is_not_the_answers() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 10 delay=0.1", first_token=0.5, stall=0.5)
            assert heard.finish

    run(main)


def test_silence_in_mid_answer_is_a_stall() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            began = time.monotonic()
            heard = await ask(upstream, "say 5 hang=2", stall=0.2)
            assert time.monotonic() - began < 3
            assert heard.text == "t:0000 t:0001 "
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_stalled", True)
            await upstream.until(lambda stats: stats.disconnected == 1, 1)

    run(main)


def test_comments_are_no_progress_and_slow_tokens_are() -> None:
    async def main() -> None:
        async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(raw, reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + chunk("Rome"))
            while True:
                writer.write(b": keep-alive\n\n")
                await writer.drain()
                await asyncio.sleep(0.05)

        async with raw_server(script) as raw:
            heard = await ask_raw(raw, stall=0.3)
            assert heard.error
            assert heard.error.code == "upstream_stalled"
        async with ScriptedUpstream() as upstream:
            assert (await ask(upstream, "say 5 delay=0.15", stall=0.4)).finish

    run(main)


def test_nobody_listening_is_unreachable() -> None:
    async def main() -> None:
        async with raw_server(sends()) as raw:
            url = raw.url
        model = open_model(url.replace("://", "://uid:sesame@"), tries=2)
        heard = await hear(model.answer(asking("Hi")))
        await model.close()
        assert heard.error
        assert (heard.error.code, heard.error.retryable) == ("upstream_unreachable", True)
        assert len(heard.waits) == 1
        assert "sesame" not in heard.error.message

    run(main)


def test_a_host_that_swallows_connections_is_unreachable() -> None:
    async def main() -> None:
        # A listener that accepts nothing: once its queue is full the kernel lets further connections hang.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
            address = deaf.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            model = open_model(f"http://127.0.0.1:{address[1]}", connect=0.3, tries=1)
            heard = await hear(model.answer(asking("Hi")))
            await model.close()
            for filler in fillers:
                filler.close()
        assert heard.error
        assert (heard.error.code, heard.error.retryable) == ("upstream_unreachable", True)
        assert "within 0.3 s" in heard.error.message

    run(main)


def test_a_connection_closed_without_an_answer_is_tried_once_more_at_once() -> None:
    async def main() -> None:
        async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(raw, reader)
            if raw.connections > 1:
                await sends_rest(writer)

        async def sends_rest(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + chunk("Rome") + STOP)
            await writer.drain()

        async with raw_server(script) as raw:
            heard = await ask_raw(raw)
            assert (heard.text, heard.waits) == ("Rome", [])
            assert raw.connections == 2

    run(main)


def test_a_kept_connection_that_went_stale_harms_nobody() -> None:
    """A server that says keep-alive and closes all the same, as llama.cpp's does."""

    async def main() -> None:
        async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(raw, reader)
            body = chunk("Rome") + STOP + DONE
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()

        for backend in (Backend(), LLAMA):
            async with raw_server(script) as raw:
                model = open_model(raw.url, backend=backend, tries=1)
                for _ in range(5):
                    assert (await hear(model.answer(asking("Hi")))).text == "Rome"
                await model.close()

    run(main)


def test_connections_are_kept_between_answers() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            model = open_model(upstream.url)
            for _ in range(3):
                assert (await hear(model.answer(asking("say 2")))).finish
            client = model._upstream._client()
            assert client.connector
            assert len(client.connector._conns) == 1
            await model.close()

    run(main)


def test_a_connection_is_kept_also_when_its_last_bytes_come_late() -> None:
    async def main() -> None:
        async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(raw, reader)
                body = chunk("Rome") + STOP + DONE
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                writer.write(b"%x\r\n%s\r\n" % (len(body), body))
                await writer.drain()
                await asyncio.sleep(0.005)
                writer.write(b"0\r\n\r\n")

        async with raw_server(script) as raw:
            model = open_model(raw.url)
            for _ in range(3):
                assert (await hear(model.answer(asking("Hi")))).text == "Rome"
            await model.close()
            assert (raw.connections, len(raw.requests)) == (1, 3)

    run(main)


@pytest.mark.parametrize("script", ["say 100000", "say 5 hang=2", "say 5 first=30"])
def test_the_upstream_is_closed_at_once_when_the_answer_is_dropped(script: str) -> None:
    """Whether closed by its reader or cancelled with its task."""

    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            model = open_model(upstream.url, first_token=60.0, stall=60.0)
            if "first" not in script:
                answer = model.answer(asking(script))
                assert isinstance(await anext(answer), Piece)
                await answer.aclose()
                await upstream.until(lambda stats: stats.disconnected == 1, 1)
            gone = upstream.stats.disconnected
            task = asyncio.create_task(hear(model.answer(asking(script))))
            await upstream.until(lambda stats: stats.active == 1)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.until(lambda stats: stats.disconnected == gone + 1, 1)
            await model.close()

    run(main)


def test_many_answers_at_once() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            model = open_model(upstream.url)
            heard = await asyncio.gather(
                *(hear(model.answer(asking(f"say 20 tag=c{number} delay=0.005"))) for number in range(50))
            )
            await model.close()
            assert [each.text for each in heard] == [Script(20, f"c{number}").text() for number in range(50)]
            assert upstream.stats.max_active > 40

    run(main)
