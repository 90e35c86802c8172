"""The scripted upstream: the one double for a model server, deterministic, so that loss and duplication show.

It speaks OpenAI's chat completions and Hugging Face's text generation. What it says is told by the last user message
(see script.py); any other message gets ``You said: <message> (<n> messages)``. In a test:

    async with ScriptedUpstream() as upstream:
        OpenAIModel("m", upstream.url, "scripted")

or as a process of its own: ``python -m parley.testing.upstream --port 9100``. `GET /stats` tells what it has seen.
"""

import argparse
import asyncio
import contextlib
import signal
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, Self

import msgspec
from aiohttp import web
from msgspec import Struct, field

from parley.testing.script import BadScript, Script, parse_script
from parley.testing.speech import ChatSpeech, GenerationSpeech, Speech

PREFILLS = ("llama", "vllm", "prefix", "ignore", "refuse")
Prefill = Literal["llama", "vllm", "prefix", "ignore", "refuse"]


class Seen(Struct):
    """A request as it came in."""

    path: str
    authorization: str
    headers: dict[str, str]
    body: dict[str, Any]


class Stats(Struct):
    """What the upstream has seen so far."""

    started: int = 0
    finished: int = 0  # answered whole
    failed: int = 0  # ended by a fault of the script
    disconnected: int = 0  # the reader went away first
    refused: int = 0  # bad request, bad key
    active: int = 0
    max_active: int = 0
    continued: int = 0  # began behind a partial answer
    foreign_partials: int = 0  # got a partial answer that its script cannot have said
    tokens: int = 0
    by_tag: dict[str, int] = field(default_factory=dict)  # requests begun, by tag


class Gone(Exception):
    """The script has the connection cut here."""


class ScriptedUpstream:
    """The server, to be used as an asynchronous context manager; `url` is its base, with ``/v1``.

    Args:
        port: 0 picks a free one.
        api_key: refuse requests that bear another one with 401.
        prefill: how it takes a trailing assistant message: continues it (llama), only with vLLM's two fields (vllm),
            only with ``prefix: true`` (prefix), takes it for a message like any other (ignore), or answers 400.
        models: the names at ``/v1/models``; a request for another one is answered with 404.
        answers: what to say to a message that contains one of these words, in whatever case; a script is followed.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "",
        prefill: Prefill = "llama",
        models: tuple[str, ...] = (),
        answers: Mapping[str, str] | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._api_key = api_key
        self._prefill = prefill
        self._models = models
        self._answers: dict[str, str] = {}
        for word, text in (answers or {}).items():
            self.answer(word, text)
        self._runs: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self.stats = Stats()
        self.seen: deque[Seen] = deque(maxlen=200)

    @property
    def url(self) -> str:
        """The base URL for chat completions, ``http://host:port/v1``."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        """The URL without a path."""
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for path in ("/v1/chat/completions", "/chat/completions"):
            app.router.add_post(path, self._chat)
        for path in ("/", "/generate", "/generate_stream", "/models/{model:.+}"):
            app.router.add_post(path, self._generation)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/stats", self._show_stats)
        # Cancelling a handler whose reader has gone is how a disconnect during silence is noticed.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def answer(self, word: str, text: str) -> None:
        """From now on say this to a message that contains a word, in whatever case."""
        self._answers[word.lower()] = text

    async def until(self, condition: Callable[[Stats], bool], seconds: float = 5.0) -> None:
        """Wait until the counters fulfil a condition.

        Raises:
            TimeoutError: they do not within the time.
        """
        async with asyncio.timeout(seconds):
            while not condition(self.stats):
                await asyncio.sleep(0.005)

    async def _list_models(self, _: web.Request) -> web.Response:
        names = self._models or ("scripted",)
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    async def _show_stats(self, _: web.Request) -> web.Response:
        shown = {"stats": self.stats, "last": list(self.seen)[-20:]}
        return web.Response(body=msgspec.json.encode(shown), content_type="application/json")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._open_chat)

    async def _generation(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._open_generation)

    async def _answer(
        self, request: web.Request, open_speech: Callable[[web.Request, dict[str, Any]], Speech]
    ) -> web.StreamResponse:
        self.stats.started += 1
        self.stats.active += 1
        self.stats.max_active = max(self.stats.max_active, self.stats.active)
        try:
            speech = open_speech(request, await self._body(request))
            response = await self._speak(request, speech)
        except web.HTTPException as refusal:
            self.stats.refused += 1
            return web.Response(status=refusal.status, text=refusal.text, content_type="application/json")
        except Gone:
            self.stats.failed += 1
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        except (asyncio.CancelledError, ConnectionError):
            self.stats.disconnected += 1
            raise
        finally:
            self.stats.active -= 1
        if speech.failing:
            self.stats.failed += 1
        else:
            self.stats.finished += 1
        return response

    async def _body(self, request: web.Request) -> dict[str, Any]:
        authorization = request.headers.get("Authorization", "")
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise refuse(400, f"not a JSON object: {error}") from None
        self.seen.append(Seen(request.path, authorization, dict(request.headers), body))
        if self._api_key and authorization != f"Bearer {self._api_key}":
            raise refuse(401, f"Incorrect API key provided: {authorization}", code="invalid_api_key")
        return body

    def _open_chat(self, request: web.Request, body: dict[str, Any]) -> Speech:
        messages = body.get("messages")
        if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages) or not messages:
            raise refuse(400, "messages must be a list of objects, at least one")
        if self._models and body.get("model") not in self._models:
            raise refuse(404, f"The model `{body.get('model')}` does not exist", code="model_not_found")
        partial = self._partial(messages, body)
        users = [text_of(each.get("content")) for each in messages if each.get("role") == "user"]
        script, tokens, run, failing = self._plan(
            users[-1] if users else "", partial, len(messages) - (partial is not None)
        )
        if partial and script.refuse:
            raise refuse(400, "Assistant response prefill is not supported")
        if messages[-1].get("role") == "tool":
            script = msgspec.structs.replace(script, calls=0)
        usage = sum(len(text_of(each.get("content")).split()) for each in messages)
        streaming = bool(body.get("stream")) and not script.document
        options = body.get("stream_options") or {}
        model = str(body.get("model") or "scripted")
        return ChatSpeech(
            script, tokens, run, failing, partial or "", streaming, usage, model, bool(options.get("include_usage"))
        )

    def _open_generation(self, request: web.Request, body: dict[str, Any]) -> Speech:
        prompt = body.get("inputs")
        if not isinstance(prompt, str):
            raise refuse(422, "inputs must be a string", kind="validation")
        said = prompt.rpartition("Human:")[2]
        question, _, partial = said.partition("Bot:")
        turns = prompt.count("Human:") + prompt.count("Bot:") - 1
        script, tokens, run, failing = self._plan(question.strip(), partial.removeprefix(" "), turns)
        parameters = body.get("parameters") or {}
        streaming = request.path == "/generate_stream" or (bool(body.get("stream")) and request.path != "/generate")
        return GenerationSpeech(
            script,
            tokens,
            run,
            failing,
            partial or "",
            streaming and not script.document,
            len(prompt.split()),
            as_list=request.path != "/generate",
            details=bool(parameters.get("details")),
            prompt=prompt if parameters.get("return_full_text", True) else "",
        )

    def _partial(self, messages: list[dict[str, Any]], body: dict[str, Any]) -> str | None:
        """The partial answer to continue; None when there is none."""
        last = messages[-1]
        if last.get("role") != "assistant":
            return None
        if self._prefill == "refuse":
            raise refuse(400, "Assistant response prefill is incompatible with enable_thinking.")
        if self._prefill == "prefix" and not last.get("prefix"):
            raise refuse(400, "Expected last role User or Tool (or Assistant with prefix True) for serving")
        asked = body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
        if self._prefill == "ignore" or (self._prefill == "vllm" and not asked):
            return None
        return str(last.get("content") or "")

    def _plan(self, question: str, partial: str | None, count: int) -> tuple[Script, list[str], int, bool]:
        """What to say: the script, its tokens from the partial answer on, the number of the run, whether to fail."""
        said = None
        try:
            if (script := parse_script(question)) is None and (said := self._answer_to(question)) is not None:
                script = parse_script(said)
        except BadScript as error:
            raise refuse(400, f"bad script: {error}") from None
        run, failing = 1, False
        if script is None:
            script = Script(0)
            tokens = default_reply(question, count, partial or "") if said is None else spoken(said, partial or "")
        else:
            self._runs[question] += 1
            run = self._runs[question]
            self.stats.by_tag[script.tag] = self.stats.by_tag.get(script.tag, 0) + 1
            failing = script != script.sound() and (script.times is None or run <= script.times)
            if not failing:
                script = script.sound()
            tokens = script.rest(partial or "", run)
        if tokens is None:
            self.stats.foreign_partials += 1
            raise refuse(400, "the partial answer is not of this script")
        if partial:
            self.stats.continued += 1
        return script, tokens, run, failing

    def _answer_to(self, question: str) -> str | None:
        return next((answer for word, answer in self._answers.items() if word in question.lower()), None)

    async def _speak(self, request: web.Request, speech: Speech) -> web.StreamResponse:
        script = speech.script
        if script.status is not None:
            return web.Response(
                status=script.status,
                body=msgspec.json.encode(speech.error_body()),
                headers={"Retry-After": script.retry_after} if script.retry_after else None,
                content_type="application/json",
            )
        if script.html:
            return web.Response(text="<html><body><h1>Gateway</h1></body></html>", content_type="text/html")
        if not speech.streaming:
            await asyncio.sleep(script.first + script.delay * len(speech.tokens))
            self.stats.tokens += len(speech.tokens)
            return web.Response(body=msgspec.json.encode(speech.document()), content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        async for event in self._paced(speech):
            if script.drip:
                for at in range(len(event)):
                    await response.write(event[at : at + 1])
                    await asyncio.sleep(0)
            else:
                await response.write(event)
        with contextlib.suppress(ConnectionError):  # the last words may find the reader gone, answer in hand
            await response.write_eof()
        return response

    async def _paced(self, speech: Speech) -> AsyncIterator[bytes]:
        """The events of a stream, each at its time; the schedule is absolute, so delays do not add up to more."""
        script, clock = speech.script, asyncio.get_running_loop().time
        due = clock() + script.first
        yield speech.opening()
        for position, event in enumerate(speech.token_events()):
            if script.cut == position:
                raise Gone
            if script.hang == position:
                await asyncio.Event().wait()
            if script.error == position:
                yield speech.error_event()
                return
            due += script.delay
            if (wait := due - clock()) > 0:
                await asyncio.sleep(wait)
            self.stats.tokens += 1
            yield event
        if script.cut is not None:
            raise Gone
        if script.hang is not None:
            await asyncio.Event().wait()
        yield speech.error_event() if script.error is not None else speech.closing()


def refuse(status: int, message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> Exception:
    """The exception that answers a request with an error in OpenAI's form."""
    body = {"error": {"message": message, "type": kind, "code": code, "param": None}}
    return REFUSALS[status](text=msgspec.json.encode(body).decode())


REFUSALS: dict[int, Callable[..., web.HTTPException]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    404: web.HTTPNotFound,
    422: web.HTTPUnprocessableEntity,
}


def text_of(content: Any) -> str:
    """The text of a message, or of its parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if part.get("type") == "text")
    return str(content or "")


def default_reply(question: str, count: int, partial: str) -> list[str] | None:
    """The tokens of the answer to a message without a script that follow a partial answer; None: it is not ours."""
    return spoken(f"You said: {question} ({count} messages)", partial)


def spoken(text: str, partial: str) -> list[str] | None:
    """The tokens of a text that follow a partial answer; None: it is not a beginning of it."""
    words = text.split(" ")
    tokens = [word + " " for word in words[:-1]] + words[-1:]
    if not "".join(tokens).startswith(partial):
        return None
    rest, skip = [], len(partial)
    for token in tokens:
        if skip < len(token):
            rest.append(token[skip:])
        skip = max(0, skip - len(token))
    return rest


async def serve(upstream: ScriptedUpstream) -> None:
    """Run until SIGTERM or SIGINT, having printed one ready line with the URL."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with upstream:
        print(f"ready {upstream.url}", flush=True)
        await stop.wait()


def main(arguments: list[str] | None = None) -> None:
    """``python -m parley.testing.upstream``."""
    parser = argparse.ArgumentParser(prog="python -m parley.testing.upstream", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--prefill", choices=PREFILLS, default="llama")
    parser.add_argument("--model", action="append", default=[], help="a name to serve; may be given again")
    parser.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="WORD=TEXT",
        help="what to say to messages with that word; a script is followed",
    )
    chosen = parser.parse_args(arguments)
    upstream = ScriptedUpstream(
        host=chosen.host,
        port=chosen.port,
        api_key=chosen.api_key,
        prefill=chosen.prefill,
        models=tuple(chosen.model),
        answers=dict(answer.partition("=")[::2] for answer in chosen.answer),
    )
    asyncio.run(serve(upstream))


if __name__ == "__main__":
    main()
