"""Clients that stall, drip, drop or only sit there: each harms itself alone (B74 to B76; F34, F35).

With every push in small numbers; with PARLEY_FAULTS=all those of the reliability notes (R11, R12).
"""

import asyncio
import contextlib
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from parley.chaos.viewer import Viewer
from tests.badinput import frames
from tests.badinput.frames import Link
from tests.badinput.place import KEY, Place, place
from tests.faults.catalogue import times
from tests.faults.figures import figure
from tests.server.shared import Answer
from tests.system.deployment import until

K = 1024
BEARER = {"Authorization": f"Bearer {KEY}"}
# Far beyond what it should take: to tell slow from never.
NEVER = 60.0


@pytest.fixture(scope="module", autouse=True)
def many_files() -> Iterator[None]:
    """As many connections as the longer forms take."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def resident(parley: Place) -> int:
    """Bytes that the web servers' processes hold."""
    total = 0
    for pid in parley.pids():
        with open(f"/proc/{pid}/status") as status:
            total += next(int(line.split()[1]) * K for line in status if line.startswith("VmRSS"))
    return total


# States of /proc/net/tcp: ESTABLISHED and CLOSE_WAIT, in which the server has the connection; and LISTEN.
SERVED, LISTENING = ("01", "08"), "0A"


def connections(parley: Place) -> tuple[int, int]:
    """Connections that the server has, and the bytes that the kernel holds for readers, of those it had as well."""
    local = f"0100007F:{parley.port:04X}"
    count = unread = 0
    with open("/proc/net/tcp") as table:
        for fields in map(str.split, table):
            if fields[1] == local and fields[3] != LISTENING:
                count += fields[3] in SERVED
                unread += int(fields[4].partition(":")[0], 16)
    return count, unread


# Half a request, and then nothing (B14, B61, B75; R12).

HEAD = f"POST /api/conversations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
HALVES = [
    b"",
    b"GE",
    b"GET /healthz HTTP/1.1\r\nHost: local",
    f"{HEAD}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{    ".encode(),
    f"{HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{".encode(),
]


async def hold(port: int, half: bytes) -> tuple[int, float]:
    """Send half a request and wait for what comes: a status and the seconds it took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(half)
    async with asyncio.timeout(NEVER):
        data = await reader.read()
    writer.close()
    return Answer(data).status, time.monotonic() - began


async def drip(port: int, data: bytes, pause: float) -> tuple[int, float]:
    """Send a request octet by octet until it is refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    answer = asyncio.create_task(reader.read())
    for number in range(len(data)):
        writer.write(data[number : number + 1])
        await asyncio.wait({answer}, timeout=pause)
        if answer.done() or time.monotonic() - began > NEVER:
            break
    async with asyncio.timeout(NEVER):
        found = await answer
    writer.close()
    return Answer(found).status, time.monotonic() - began


def test_half_sent_requests_are_closed(parley: Place) -> None:
    async def main() -> None:
        halves = [hold(parley.port, HALVES[number % len(HALVES)]) for number in range(times(100, 900))]
        slow = b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000
        drips = [drip(parley.port, slow, pause) for pause in (0.2, 1.0) * times(5, 50)]
        everyone = asyncio.gather(*halves, *drips)
        worst, served = 0.0, 0
        async with aiohttp.ClientSession() as http:
            while not everyone.done():
                began = time.monotonic()
                async with http.get(f"http://127.0.0.1:{parley.port}/healthz") as answer:
                    assert answer.status == 200
                worst, served = max(worst, time.monotonic() - began), served + 1
                await asyncio.wait({everyone}, timeout=0.2)
        found = await everyone
        assert {status for status, _ in found} == {408}
        longest = max(seconds for _, seconds in found)
        assert served
        figure("R12", half_sent=len(found), longest_s=longest, others_worst_ms=worst * 1000)

    asyncio.run(main())


# Readers that do not read (B74; F35, R11).


def stalled(parley: Place, path: str, *said: dict[str, Any]) -> contextlib.AbstractContextManager[Link]:
    """A socket whose client says something and then reads nothing."""

    @contextlib.contextmanager
    def made() -> Iterator[Link]:
        with frames.opened(parley.port, path, BEARER, window=2 * K) as link:
            for each in said:
                link.send(frames.encode(1, json.dumps(each).encode()))
            yield link

    return made()


def read_to_end(link: Link, viewer: Viewer, turn: str) -> None:
    """Fold frames until a turn has ended."""
    while not viewer.ended(turn):
        name, payload = link.receive()
        if name == "text":
            viewer.take(json.loads(payload))
        else:
            assert name == "ping", payload
            link.send(frames.encode(10, payload))


def test_stalled_readers_are_cut_off_alone() -> None:
    count = times(40, 1_000)
    with place() as parley, contextlib.ExitStack() as stack:
        name = parley.ask("POST", "/api/conversations", {})["id"]
        follow = {"type": "follow", "conversation": name}
        path = f"/api/conversations/{name}/turns"
        last = parley.ask("POST", path, {"input": "say 100"})["turn"]  # what is needed once is there before
        until(lambda: parley.ask("GET", f"{path}/{last}")["status"] == "completed", NEVER)
        before = resident(parley)
        for number in range(count):
            own = {"type": "response.create", "model": "model", "input": f"say {times(500, 3000)} tag=own{number}"}
            alone = number % 4 == 0
            stack.enter_context(stalled(parley, *(("/v1/responses", own) if alone else ("/api/socket", follow))))
        viewer = Viewer("who reads")
        peak = kernel = 0
        with frames.opened(parley.port, "/api/socket", BEARER) as link:
            link.send(frames.encode(1, json.dumps(follow).encode()))
            for number in range(12):
                last = parley.ask("POST", path, {"input": f"say 20000 tag=reply{number}"})["turn"]
                read_to_end(link, viewer, last)
                peak, kernel = max(peak, resident(parley)), max(kernel, connections(parley)[1])
        assert viewer.flaws == []
        began = time.monotonic()
        until(lambda: connections(parley)[0] == 0, 2 * NEVER, "all who do not read to be cut off")
        cut = time.monotonic() - began
        each = (peak - before + kernel) / count
        figure(
            "F35",
            stalled=count,
            each_costs_bytes=round(each),
            all_cut_off_s=cut,
        )
        assert each <= 256 * K
        assert peak - before + kernel <= 300 * K * K
        # Whoever was cut off comes back, and is told the same.
        with frames.opened(parley.port, "/api/socket", BEARER) as link:
            link.send(frames.encode(1, json.dumps(follow).encode()))
            again = Viewer("who came back")
            read_to_end(link, again, last)
            assert again.flaws == []
            assert again.view.turns[last].body == viewer.view.turns[last].body


# Sockets on which nothing happens (B76).


def answers(link: Link) -> bool:
    """Whether a socket is still open."""
    link.send(frames.encode(9, b"x"))
    while (name := link.receive()[0]) not in ("pong", "close", "end"):
        pass
    return name == "pong"


def test_idle_sockets_of_one_session_are_refused_past_the_cap(parley: Place) -> None:
    session = {"Authorization": f"Bearer {parley.tokens['session']}"}
    seen: Counter[bytes] = Counter()
    with contextlib.ExitStack() as stack:
        links = []
        for _ in range(times(100, 2_000)):
            link = stack.enter_context(frames.opened(parley.port, "/api/socket", session))
            seen[link.head.split(b" ", 2)[1]] += 1
            links.append(link)
        assert set(seen) == {b"101", b"429"}
        # Those that answer no ping are let go in time, and make room for others.
        open_still = sum(answers(link) for link in links if b" 101 " in link.head)
        assert 0 < open_still <= 64
        with frames.opened(parley.port, "/api/socket", BEARER) as other:
            assert b" 101 " in other.head
        figure("B76", accepted=seen[b"101"], refused=seen[b"429"])


# Clients that come and go (F34).

STAY, AWAY = (0.05, 0.3), (0.0, 0.05)


async def flap(parley: Place, http: aiohttp.ClientSession, conversation: str, viewer: Viewer, until: float) -> None:
    """Follow a conversation, dropping the connection all the time until a moment; then stay to the end of it all."""
    rng = random.Random(viewer.name)
    while not all(viewer.ended(turn) for turn in viewer.view.turns) or time.monotonic() < until:
        leave = time.monotonic() + rng.uniform(*STAY) if time.monotonic() < until else float("inf")
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with http.ws_connect(f"http://{parley.host}/api/socket", headers=BEARER) as socket:
                viewer.connected()
                after = {"after": viewer.cursor} if viewer.cursor else {}
                await socket.send_json({"type": "follow", "conversation": conversation, "turns": 200} | after)
                with contextlib.suppress(TimeoutError):
                    await listen(socket, viewer, leave)
                if rng.random() < 0.5 and (writer := socket._writer) is not None:  # without a word
                    writer.transport.abort()
        await asyncio.sleep(rng.uniform(*AWAY))


async def listen(socket: aiohttp.ClientWebSocketResponse, viewer: Viewer, leave: float) -> None:
    """Fold frames until it is time to leave, or all turns have ended."""
    while time.monotonic() < leave:
        message = await socket.receive(timeout=min(NEVER, leave - time.monotonic()))
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        viewer.take(json.loads(message.data))
        if leave == float("inf") and all(viewer.ended(turn) for turn in viewer.view.turns):
            return


def test_flapping_clients_miss_nothing(parley: Place) -> None:
    name = parley.ask("POST", "/api/conversations", {})["id"]
    path = f"/api/conversations/{name}/turns"
    viewers = [Viewer(f"flapping {number}") for number in range(times(10, 100))]
    seconds = times(6, 120)

    async def main() -> list[str]:
        turns = []
        until = time.monotonic() + seconds
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            turns.append(await asyncio.to_thread(parley.ask, "POST", path, {"input": "say 200 tag=first delay=0.005"}))
            clients = [asyncio.create_task(flap(parley, http, name, viewer, until)) for viewer in viewers]
            while time.monotonic() < until - 1:
                said = {"input": f"say 150 tag=turn{len(turns)} delay=0.005"}
                turns.append(await asyncio.to_thread(parley.ask, "POST", path, said))
                await asyncio.sleep(1)
            await asyncio.gather(*clients)
        return [each["turn"] for each in turns]

    for turn in asyncio.run(main()):
        until(lambda turn=turn: parley.ask("GET", f"{path}/{turn}")["status"] == "completed", NEVER)  # type: ignore[misc]
        text = parley.ask("GET", f"{path}/{turn}")["text"]
        for viewer in viewers:
            assert viewer.flaws == []
            if turn in viewer.view.turns:
                assert viewer.view.turns[turn].body.decode() == text
    figure(
        "F34",
        clients=len(viewers),
        connections=sum(viewer.connections for viewer in viewers),
        frames=sum(viewer.frames for viewer in viewers),
        flaws=sum(len(viewer.flaws) for viewer in viewers),
    )
