"""Requests by chance, made from the server's own description of itself (R10): no 500, no 1011, nothing held, no leak.

Some thousands with every push; ``PARLEY_NOISE=100000`` sends as many, and PARLEY_NOISE_SEED others.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.badinput import described, frames
from tests.badinput.noise import Noise, Sent
from tests.badinput.place import KEY, Place, place
from tests.badinput.test_rude_clients import connections, resident
from tests.faults.figures import figure
from tests.server.shared import Answer
from tests.system.deployment import until

COUNT = int(os.environ.get("PARLEY_NOISE", "3000"))
SEED = int(os.environ.get("PARLEY_NOISE_SEED", "1"))
LINKS = 16
SECONDS = 60.0
# Told of the model's server or of a store that is busy: no fault of what was sent, nor of who answers.
OTHERS = (502, 503, 504)
# So many requests go to one set of names before new ones are made: some of them delete.
FRESH = 200


class Link:
    """A connection that is kept as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, sent: Sent) -> Answer:
        """Send a request and read the answer; of one that streams, the head and what comes with it."""
        for _ in range(2):  # a kept connection may have been closed meanwhile
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
            with contextlib.suppress(ConnectionError):
                self._writer.write(sent.encode(f"127.0.0.1:{self._port}"))
                answer = await self._read(sent.method)
                if answer.status:
                    return answer
            self.close()
        return Answer(b"")

    async def _read(self, method: str) -> Answer:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return Answer(b"")
        answer = Answer(head)
        length = answer.headers.get("content-length")
        if length is None or method == "HEAD":
            self.close()
            return answer
        answer.body = await self._reader.readexactly(int(length))
        answer.raw = head + answer.body
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


def furnished(parley: Place) -> dict[str, list[str]]:
    """New things to speak of, and their names."""
    conversation = parley.ask("POST", "/api/conversations", {"title": "noise"})["id"]
    said = parley.ask("POST", f"/api/conversations/{conversation}/turns", {"input": "hello"})
    response = parley.ask("POST", "/v1/responses", {"model": "model", "input": "hello", "background": True})["id"]
    share = parley.ask("POST", f"/api/conversations/{conversation}/share")["token"]
    ids = [conversation, said["response"], response, "chat"]
    return {
        "id": ids,
        "conversation": [conversation],
        "previous_response_id": [response],
        "turn": [said["turn"]],
        "parent": [said["turn"]],
        "token": [share, parley.names["chat_token"]],
        "item": ["msg_" + response.removeprefix("resp_") + "00"],
        "model": ["model", "model", "other"],
        "assistant": [""],
        "name": ["model", "Ann"],
        "pkg": ["parley"],
        "ns": ["parley"],
        "action": ["assistant"],
        "path": ["app.css", "js/main.js"],
        "role": ["user"],
        "key": ["k1", "k2"],
        "policy": ["interrupt"],
        "method": ["tools/list", "tools/call", "ping", "initialize"],
        "jsonrpc": ["2.0"],
        "until": ["idle"],
    }


async def send_many(parley: Place, told: dict[str, Any], count: int, seed: int, seen: Counter[int]) -> list[str]:
    """Send requests one after the other; what must not be is listed."""
    link = Link(parley.port)
    wrong: list[str] = []
    noise = Noise(told, KEY, {}, random.Random(seed))
    for number in range(count):
        if number % FRESH == 0:
            noise.names = await asyncio.to_thread(furnished, parley)
        sent = noise.request()
        try:
            async with asyncio.timeout(SECONDS):
                answer = await link.ask(sent)
            seen[answer.status] += 1
            if answer.status == 0 or (answer.status >= 500 and answer.status not in OTHERS):
                wrong.append(f"{answer.status} {sent} {answer.body[:300]!r}")
            elif sent.method != "HEAD":
                described.check(sent.method, sent.path, answer)
        except TimeoutError:
            link.close()
            wrong.append(f"held {sent}")
        except Exception as error:
            wrong.append(f"not as described: {str(error)[:300]} {sent} {answer.raw[:600]!r}")
    link.close()
    return wrong


@pytest.mark.timeout(60 + COUNT)
def test_noise_does_no_harm() -> None:
    with place() as parley:
        told = parley.ask("GET", "/openapi.json")
        seen: Counter[int] = Counter()

        async def main(count: int, seed: int) -> list[str]:
            parts = [send_many(parley, told, count // LINKS, seed * 1_000 + part, seen) for part in range(LINKS)]
            return [each for found in await asyncio.gather(*parts) for each in found]

        wrong = asyncio.run(main(COUNT // 10, SEED + 1_000_000))  # what is needed once is there before it is measured
        until(lambda: connections(parley)[0] == 0, SECONDS, "all connections to be closed")
        before, files = resident(parley), open_files(parley)
        began = time.monotonic()
        wrong += asyncio.run(main(COUNT, SEED))
        seconds = time.monotonic() - began
        until(lambda: connections(parley)[0] == 0, SECONDS, "all connections to be closed")
        after = resident(parley)
        figure(
            "R10",
            inputs=COUNT,
            wrong=len(wrong),
            seconds_s=seconds,
            before_bytes=before,
            after_bytes=after,
            files_before=files,
            files_after=open_files(parley),
            statuses=json.dumps(dict(sorted(seen.items()))),
        )
        assert wrong == [], "\n".join(wrong[:20])
        assert seen[200] > COUNT // 100, "some of it was right"
        assert open_files(parley) <= files + 20
        # What is remembered is bounded; 100,000 inputs that left a kilobyte each would show.
        assert after - before < 64 * 2**20


def open_files(parley: Place) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in parley.pids())


def test_noise_on_sockets_does_no_harm(parley: Place) -> None:
    told = parley.ask("GET", "/asyncapi.json")
    schemas = told["components"]["schemas"]
    noise = Noise({"components": {"schemas": schemas}, "paths": {}}, KEY, furnished(parley), random.Random(SEED))
    channels = {each["address"]: each["messages"] for each in told["channels"].values()}
    headers = {"Authorization": f"Bearer {KEY}"}
    seen: Counter[int] = Counter()
    for number in range(max(20, COUNT // 100)):
        path = ("/api/socket", "/v1/responses")[number % 2]
        sent = [message["payload"] for name, message in channels[path].items() if not name.startswith("told_")]
        with frames.opened(parley.port, path, headers) as link:
            for _ in range(8):
                link.send(frames.encode(1, noise.message(sent)))
            link.send(frames.written("close 1000", {}))
            seen[link.close_code()] += 1
    assert set(seen) <= {1000, 1007, 1013, 4400, 4401, 4429}, seen
