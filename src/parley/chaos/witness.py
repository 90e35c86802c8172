"""A witness: stands between a Parley and its model, passes everything on, and writes down what the model said.

So it can be checked with a model that never says the same twice that an answer is what the model said, each character
once: every request after a takeover holds the part that stood, and what the model said behind it is known.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp
from aiohttp import web
from msgspec import Struct

POLL = 0.02


class Heard(Struct):
    """One request: the part of the answer that the model was given to go on from, and what it said behind it."""

    partial: str = ""
    said: str = ""
    whole: bool = False  # it was passed on to its end


def accounts_for(heard: Sequence[Heard], answer: str) -> bool:
    """Whether an answer is made of what was said, without a character lost or repeated.

    What a request said must be in the answer from the end of its partial answer up to the end of the next one's; all
    that the last one said must, up to the answer's end. What was said and died with a worker is not in the next
    request's partial answer, so it is asked for again. White space where two parts meet may be anyone's.
    """
    if not heard or not heard[-1].whole:
        return False
    for one, following in zip(heard, [*heard[1:], None], strict=True):
        if not answer.startswith(one.partial):
            return False
        said = one.said.lstrip()
        if following is None:
            if answer[len(one.partial) :].lstrip() != said:
                return False
        elif following.partial and not said.startswith(answer[len(one.partial) : len(following.partial)].lstrip()):
            return False
    return True


class Witness:
    """The server; `url` is its base, with ``/v1``. Use it as an asynchronous context manager.

    Args:
        upstream: base URL of the model behind it.
        key: what the model wants to be shown; nobody else needs to know it.
    """

    def __init__(self, upstream: str, key: str = "") -> None:
        self._upstream = upstream.rstrip("/").removesuffix("/v1")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.heard: list[Heard] = []
        self.url = ""
        # Asked before each line is passed on: whether the model is to wait.
        self.held: Callable[[], bool] = lambda: False

    async def __aenter__(self) -> "Witness":
        self._stack = contextlib.AsyncExitStack()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        # llama.cpp's listener closes each connection behind its answer.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self._upstream}{request.rel_url}"
        headers = {"Content-Type": request.content_type} | self._headers
        try:
            async with self._session.request(
                request.method, url, data=body, headers=headers, timeout=timeout
            ) as answer:
                response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
                await response.prepare(request)
                if answer.status != 200 or not request.path.endswith("/chat/completions"):
                    await response.write(await answer.read())
                    return response
                self.heard.append(heard := Heard(partial_of(json.loads(body))))
                async for line in lines(answer):
                    heard.said += said_in(line)
                    while self.held():
                        await asyncio.sleep(POLL)
                    await response.write(line)
                heard.whole = True
                return response
        except aiohttp.ClientConnectionError:
            raise web.HTTPBadGateway from None


def partial_of(body: dict[str, Any]) -> str:
    """The answer's part in a request for a chat completion that is to go on from one; else empty."""
    last = body["messages"][-1]
    return str(last["content"]) if last["role"] == "assistant" else ""


def said_in(line: bytes) -> str:
    """The text in a line of a stream of chat completions."""
    if not line.startswith(b"data: {"):
        return ""
    choices = json.loads(line[6:]).get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


async def lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a body, however long, each with its end."""
    rest = b""
    async for chunk in answer.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


@contextlib.asynccontextmanager
async def witness(upstream: str, key: str = "") -> AsyncIterator[Witness]:
    """A witness in front of a model, once the model answers. Raises `TimeoutError`."""
    async with Witness(upstream, key) as made, asyncio.timeout(None) as patience:
        patience.reschedule(asyncio.get_running_loop().time() + 120)
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{made.url}/models") as answer:
                    if answer.status < 500:
                        break
                await asyncio.sleep(0.05)
        patience.reschedule(None)
        yield made
