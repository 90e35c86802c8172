"""The OpenAI-compatible model: what it asks, and what it makes of what it is told."""

import asyncio
import base64
import logging
import time
from typing import get_args

import pytest

from parley.core.message import Message, Parameters, Transcript
from parley.core.pieces import Piece
from parley.core.turn import Usage
from parley.models.backend import BACKENDS
from parley.models.model import Finish
from parley.models.secret import Secret
from parley.testing.script import Script
from parley.testing.upstream import Prefill, ScriptedUpstream
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


def test_an_answer_with_usage_and_the_upstreams_name() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 3 tag=a")
            assert heard.text == "a:0000 a:0001 a:0002 "
            assert heard.finish == Finish("stop", Usage(3, 3), "scripted")
            body = upstream.seen[0].body
            assert body["stream"] is True
            assert body["stream_options"] == {"include_usage": True}

    run(main)


def test_history_and_parameters_are_sent() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            model = open_model(upstream.url, parameters=Parameters(temperature=0.5, top_p=0.9))
            messages = (
                Message("developer", "Be brief."),
                Message("user", "Hi"),
                Message("assistant", "Hello"),
                Message("user", "Who?"),
            )
            parameters = Parameters(temperature=0.0, max_tokens=7, stop=("END",), seed=1)
            heard = await hear(model.answer(Transcript(messages, parameters)))
            await model.close()
            assert heard.text == "You said: Who? (4 messages)"
            body = upstream.seen[0].body
            assert [each["role"] for each in body["messages"]] == ["system", "user", "assistant", "user"]
            chosen = {name: body[name] for name in ("temperature", "top_p", "max_tokens", "stop", "seed")}
            assert chosen == {"temperature": 0.0, "top_p": 0.9, "max_tokens": 7, "stop": ["END"], "seed": 1}
            assert "presence_penalty" not in body

    run(main)


def test_openai_itself_is_told_max_completion_tokens() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            model = open_model(upstream.url, backend=BACKENDS["openai"])
            await hear(model.answer(asking("Hi", max_tokens=5)))
            await model.close()
            assert upstream.seen[0].body["max_completion_tokens"] == 5
            assert "max_tokens" not in upstream.seen[0].body

    run(main)


def test_a_backends_habits_are_minded() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            model = open_model(upstream.url, backend=BACKENDS["mistral"])
            await hear(model.answer(asking("Hi", seed=5)))
            await model.close()
            assert upstream.seen[0].body["random_seed"] == 5
            assert not {"seed", "stream_options"} & set(upstream.seen[0].body)

    run(main)


def test_credentials_in_the_url_win_and_are_sent_as_basic() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            url = upstream.root.replace("://", "://uid:secret@")
            for base, key, sent in (
                (url, "key", "Basic " + base64.b64encode(b"uid:secret").decode()),
                (upstream.url, "key", "Bearer key"),
                (upstream.url, "", ""),
            ):
                model = open_model(base, api_key=Secret(key))
                assert (await hear(model.answer(asking("Hi")))).finish
                await model.close()
                assert upstream.seen[-1].authorization == sent
                assert upstream.seen[-1].path == "/v1/chat/completions"

    run(main)


def test_reasoning_is_its_own_channel() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 1 reasoning=2")
            assert (heard.reasoning, heard.text) == ("think:0000 think:0001 ", "t:0000 ")

    run(main)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", 'reasoning":"why","reasoning_content'])
def test_both_spellings_of_reasoning_are_read_once(field: str) -> None:
    async def main() -> None:
        delta = b'data: {"choices":[{"delta":{"%s":"why"}}]}\n\n' % field.encode()
        async with raw_server(sends(delta, chunk("so"), STOP, DONE)) as raw:
            heard = await ask_raw(raw)
            assert (heard.reasoning, heard.text) == ("why", "so")

    run(main)


def test_null_empty_and_role_only_deltas_say_nothing() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 3 nulls")
            assert heard.pieces == [Piece("t:0000 "), Piece("t:0001 "), Piece("t:0002 ")]

    run(main)


def test_a_stream_in_single_bytes_is_the_same() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 2 drip nulls")
            assert heard.text == "t:0000 t:0001 "
            assert heard.finish

    run(main)


def test_a_huge_delta_arrives_whole() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 2 huge=200000")
            assert len(heard.pieces[0].text) == 200_000
            assert heard.finish

    run(main)


def test_a_line_beyond_the_cap_ends_the_answer() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 2 huge=10000000")
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_invalid", False)

    run(main)


def test_invalid_utf8_is_repaired() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 2 badutf8")
            assert heard.text == "t:0000\ufffd t:0001\ufffd "
            assert heard.finish

    run(main)


@pytest.mark.parametrize("ending", [[STOP], [STOP, DONE], [DONE], [STOP, b"data: [DONE]"], [DONE + b"data: late\n\n"]])
def test_a_finish_reason_or_an_end_mark_is_enough(ending: list[bytes]) -> None:
    async def main() -> None:
        async with raw_server(sends(chunk("Rome"), *ending)) as raw:
            heard = await ask_raw(raw)
            assert heard.text == "Rome"
            assert heard.finish == Finish("stop")

    run(main)


def test_a_line_kept_open_behind_the_finish_reason_is_not_waited_for() -> None:
    async def main() -> None:
        async def script(raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(raw, reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + chunk("Rome") + STOP)
            await reader.read()
            raw.left.set()

        async with raw_server(script) as raw:
            began = time.monotonic()
            heard = await ask_raw(raw, stall=60.0)
            assert (heard.text, heard.finish) == ("Rome", Finish("stop"))
            assert time.monotonic() - began < 4
            await asyncio.wait_for(raw.left.wait(), 1)

    run(main)


def test_an_answer_that_comes_as_one_document_is_read() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 2 document reasoning=1 finish=length")
            assert (heard.reasoning, heard.text) == ("think:0000 ", "t:0000 t:0001 ")
            assert heard.finish == Finish("length", Usage(5, 2), "scripted")

    run(main)


@pytest.mark.parametrize("script", ["say 5 cut=2", "say 5 nofinish"])
def test_a_stream_cut_in_mid_answer_says_so_and_is_not_begun_anew(script: str) -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, script)
            assert heard.text.startswith("t:0000 t:0001 ")
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_cut", True)
            assert upstream.stats.started == 1

    run(main)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error":{"message":"bad","type":"invalid_request_error"}}', "upstream_error"),
        (400, b'{"error":{"message":"x","code":"context_length_exceeded"}}', "context_too_long"),
        (400, b'{"error":{"code":400,"type":"exceed_context_size_error","n_ctx":1}}', "context_too_long"),
        (
            400,
            b'{"error":"The requested model \'x\' is not supported by any provider you have enabled."}',
            "model_not_found",
        ),
        (401, b'{"error":{"message":"Incorrect API key provided: sesame"}}', "upstream_auth"),
        (402, b'{"error":"You have exceeded your monthly included credits"}', "upstream_rate_limited"),
        (403, b"<html>sesame</html>", "upstream_auth"),
        (404, b'{"error":{"code":"model_not_found"}}', "model_not_found"),
        (404, b"nginx", "model_not_found"),
        (410, b"gone", "upstream_gone"),
        (413, b"", "context_too_long"),
        (418, b"[" * 5000, "upstream_error"),
        (429, b'{"error":{"code":"insufficient_quota","message":"x"}}', "upstream_rate_limited"),
    ],
)
def test_lasting_failures_are_typed_and_not_tried_again(status: int, body: bytes, code: str) -> None:
    async def main() -> None:
        async with raw_server(sends(body, status=f"{status} X", kind="application/json")) as raw:
            heard = await ask_raw(raw, tries=4)
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == (code, False)
            assert raw.connections == 1

    run(main)


def test_a_refusal_names_the_fields_it_is_about_and_nothing_else() -> None:
    async def main() -> None:
        body = b'{"error":{"message":"Unsupported: \'max_tokens\' sesame","code":"unsupported_parameter"}}'
        async with raw_server(sends(body, status="400 X", kind="application/json")) as raw:
            heard = await ask_raw(raw)
            assert heard.error
            assert heard.error.message == (
                "the upstream refused the request (400); it names max_tokens, unsupported_parameter"
            )

    run(main)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>sesame</html>"),
        ("text/plain", b"sesame sesame\n"),
        ("text/event-stream", b"data: {not json\n\n"),
        ("text/event-stream", b'data: {"choices":"sesame"}\n\n'),
        ("text/event-stream", b'data: {"choices":[{"delta":{"content":["sesame"]}}]}\n\n'),
        ("text/event-stream", b"data: " + b"[" * 50_000 + b"\n\n"),
        ("text/event-stream", b"\x00\xff" * 100 + b"\n\n"),
        ("application/json", b"sesame"),
        ("application/json", b"{}"),
        ("application/json", b'["sesame"]'),
    ],
)
def test_garbage_is_an_error_that_does_not_repeat_it(kind: str, body: bytes) -> None:
    async def main() -> None:
        async with raw_server(sends(body, kind=kind)) as raw:
            heard = await ask_raw(raw)
            assert heard.error
            assert (heard.error.code, heard.text) == ("upstream_invalid", "")
            assert "sesame" not in heard.error.message

    run(main)


def test_an_error_inside_a_stream_ends_the_answer_with_what_was_said() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            heard = await ask(upstream, "say 5 error=2")
            assert heard.text == "t:0000 t:0001 "
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("upstream_error", True)
            assert "scripted" not in heard.error.message

    run(main)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (b'"sesame"', "upstream_error"),
        (b'["sesame", {"message":"rate limit"}]', "upstream_rate_limited"),
        (b'{"message":"maximum context length is 5"}', "context_too_long"),
        (b'{"code":429}', "upstream_rate_limited"),
    ],
)
def test_errors_inside_a_stream_take_any_form(error: bytes, code: str) -> None:
    async def main() -> None:
        async with raw_server(sends(b'data: {"error":' + error + b"}\n\n")) as raw:
            heard = await ask_raw(raw)
            assert heard.error
            assert heard.error.code == code
            assert "sesame" not in heard.error.message

    run(main)


def test_only_the_first_of_several_choices_is_read() -> None:
    async def main() -> None:
        other = b'data: {"choices":[{"index":1,"delta":{"content":"Paris"},"finish_reason":"length"}]}\n\n'
        async with raw_server(sends(other, chunk("Rome"), other, STOP, DONE)) as raw:
            heard = await ask_raw(raw)
            assert (heard.text, heard.finish) == ("Rome", Finish("stop"))

    run(main)


@pytest.mark.parametrize(
    ("prefill", "backend"),
    [("llama", "llama.cpp"), ("vllm", "vllm"), ("prefix", "mistral"), ("prefix", "deepseek-beta")],
)
def test_a_partial_answer_is_continued_in_each_dialect(prefill: Prefill, backend: str) -> None:
    async def main() -> None:
        async with ScriptedUpstream(prefill=prefill) as upstream:
            whole = Script(6, "a").text()
            for at in (1, 4, 6, 7, 8, 20, 41, 42):
                echo = " echo" if BACKENDS[backend].echoes else ""
                heard = await ask(upstream, "say 6 tag=a" + echo, whole[:at], backend=BACKENDS[backend])
                assert whole[:at] + heard.text == whole
            assert upstream.stats.continued == 8
            assert upstream.stats.foreign_partials == 0

    run(main)


def test_every_dialect_is_tested() -> None:
    assert {backend.prefill for backend in BACKENDS.values() if backend.prefill} < set(get_args(Prefill))


def test_a_backend_that_cannot_continue_is_never_given_a_partial_answer() -> None:
    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            model = open_model(upstream.url)
            assert model.recovery == "regenerate"
            heard = await ask(upstream, "say 3", "t:0000 ")
            assert heard.error
            assert (heard.error.code, heard.error.retryable) == ("continue_refused", False)
            assert upstream.stats.started == 0

    run(main)


def test_a_refused_partial_answer_is_told_apart() -> None:
    async def main() -> None:
        async with ScriptedUpstream(prefill="refuse") as upstream:
            assert open_model(upstream.url, backend=LLAMA).recovery == "continue"
            heard = await ask(upstream, "say 3", "t:0000 ", backend=LLAMA)
            assert heard.error
            assert heard.error.code == "continue_refused"
            assert (await ask(upstream, "say 3", backend=LLAMA)).finish

    run(main)


def test_secrets_never_show(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, neither messages nor logs nor the causes of errors hold a credential or the URL's."""

    async def main() -> None:
        caplog.set_level(logging.DEBUG)
        async with ScriptedUpstream(api_key="other") as upstream:
            for base, key in ((upstream.root.replace("://", "://uid:sesame@"), ""), (upstream.url, "sesame")):
                for url in (base, base + "/nowhere"):
                    model = open_model(url, api_key=Secret(key), tries=1)
                    heard = await hear(model.answer(asking("say 1")))
                    await model.close()
                    assert heard.error
                    assert "sesame" in str(upstream.seen[-1].headers) or base64.b64encode(
                        b"uid:sesame"
                    ).decode() in str(upstream.seen[-1].headers)
                    shown = heard.error.message + repr(heard.error) + repr(heard.error.__cause__) + repr(vars(model))
                    assert "sesame" not in shown
                    assert base64.b64encode(b"uid:sesame").decode() not in shown
        assert "sesame" not in caplog.text

    run(main)
