"""An OpenAI-compatible model that says one text at the pace its name tells: `demo-20` at 20 pieces a second.

python -m benchmarks.browser_upstream [FILE]

The text is benchmarks/reply.md, unless told. Given the beginning of it as a partial answer, it goes on from there.
"""

import asyncio
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

STANDARD = Path(__file__).parent / "reply.md"
TEXT = STANDARD.read_text().strip()
# The standard text has 1,736 pieces: a tokenizer makes about as many of such a text.
LENGTH = len(TEXT) / 1_736
# The text ends with it.
LAST = "here it is over."
MODELS = ("at-100", "at-400", "demo-20")
SAID = web.AppKey("said", str)


def pieces(text: str) -> list[str]:
    """A text in pieces of nearly one length."""
    count = max(1, round(len(text) / LENGTH))
    cuts = [round(at * len(text) / count) for at in range(count + 1)]
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


def behind(text: str, messages: list[dict[str, Any]]) -> str:
    """What is left to say of a text: all of it, unless the last message is the beginning of the answer."""
    last = messages[-1]
    return text.removeprefix(str(last["content"])) if last["role"] == "assistant" else text


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event of the stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    told = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "demo", "choices": [choice]}
    return b"data: " + json.dumps(told).encode() + b"\n\n"


async def complete(request: web.Request) -> web.StreamResponse:
    """Say it. Each piece has its time; what is late does not make the next one later."""
    asked: dict[str, Any] = await request.json()
    pace = int(asked["model"].rpartition("-")[2])
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(chunk({"role": "assistant"}))
    loop = asyncio.get_running_loop()
    began = loop.time()
    left = behind(request.app[SAID], asked["messages"])
    for at, piece in enumerate(pieces(left)):
        await asyncio.sleep(max(0.0, began + at / pace - loop.time()))
        await response.write(chunk({"content": piece}))
    await response.write(chunk({}, "stop") + b"data: [DONE]\n\n")
    return response


async def models(_: web.Request) -> web.Response:
    """The paces there are."""
    return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})


async def serve(text: str) -> None:
    """Serve on a free port and say which, until killed."""
    app = web.Application()
    app[SAID] = text
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/v1/models", models)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"ready {site._server.sockets[0].getsockname()[1]}", flush=True)  # type: ignore[union-attr]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_text().strip() if sys.argv[1:] else TEXT))
