"""Links: what their readers are shown and what not, and that a link ends at once, wherever it is read."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import redis
import websockets.asyncio.client

from parley.wire import shared
from tests.server.harness import House, Line, Served, house, text_of
from tests.store.harness import run

HIDDEN = "told-to-nobody"


async def share(home: House, name: str, expect: int = 201) -> str:
    made = await home.call("POST", f"/api/conversations/{name}/share", expect=expect)
    assert made["path"] == f"/s/{made['token']}"
    token: str = made["token"]
    return token


@contextlib.asynccontextmanager
async def reader(home: House, token: str, served: Served | None = None) -> AsyncIterator[Line]:
    """A socket of who has the link."""
    url = f"ws://127.0.0.1:{(served or home.served[0]).port}/api/shared/{token}/socket"
    async with websockets.asyncio.client.connect(url, proxy=None) as link:
        yield Line(link)


async def secretive(home: House) -> str:
    """A conversation that holds what a link does not show."""
    name = await home.conversation(title="Shown", instructions=HIDDEN, metadata={"who": HIDDEN})
    path = f"/api/conversations/{name}/turns"
    said = [{"role": "system", "content": HIDDEN}, {"role": "user", "content": "hi"}]
    await home.call("POST", path, {"input": said, "instructions": HIDDEN}, expect=202)
    return name


def test_a_link_shows_the_conversation_as_it_is_written_and_nothing_beside_it() -> None:
    async def main() -> None:
        async with house(access_key="key") as home:
            home.http.headers["authorization"] = "Bearer key"
            name = await secretive(home)
            token = await share(home, name)
            home.http.headers.pop("authorization")
            async with reader(home, token) as line, home.events(f"/api/shared/{token}/events") as events:
                assert events.answer.headers["x-robots-tag"] == "noindex, nofollow"
                await line.send(type="follow", id="f", conversation=name, after="0-0")
                snapshot = await line.expect("snapshot")
                assert (snapshot["id"], snapshot["about"]["title"]) == ("f", "Shown")
                await home.answer("Hel", "lo")
                frames = await line.until("end")
                assert text_of(frames) == "Hello"
                heard = [await events.event() for _ in range(5)]
                assert [each and each["type"] for each in heard] == [
                    "snapshot", "started", "delta", "delta", "end",
                ]  # fmt: skip
                history = await home.call("GET", f"/api/shared/{token}/turns")
                whole = await home.call("GET", f"/api/shared/{token}")
                assert HIDDEN not in json.dumps([snapshot, frames, heard, history, whole])
                assert [said["content"] for said in whole["turns"][0]["request"]["input"]] == ["hi"]
                assert (whole["turns"][0]["text"], history["data"][0]["text"]) == ("Hello", "Hello")

    run(main())


def test_who_has_a_link_reads_only_and_only_that() -> None:
    async def main() -> None:
        async with house() as home:
            name, other = await home.conversation(title="x"), await home.conversation(title="y")
            token = await share(home, name)
            async with reader(home, token) as line:
                for command in (
                    {"type": "say", "conversation": name, "input": "no"},
                    {"type": "cancel", "conversation": name, "turn": "0" * 16},
                    {"type": "auth", "token": "x"},
                ):
                    await line.send(id="c", **command)
                    assert (await line.expect("error"))["error"]["code"] == "read_only"
                await line.send(type="follow", id="o", conversation=other)
                assert (await line.expect("error"))["error"]["code"] == "conversation_not_found"
            assert (await home.call("GET", f"/api/conversations/{name}/turns"))["total"] == 0
            forged = token[:-1] + ("A" if token[-1] != "A" else "B")
            swapped = other.removeprefix("conv_") + token[34:]
            for wrong in (forged, swapped, "x", token + "x"):
                await home.call("GET", f"/api/shared/{wrong}", expect=404)
                async with home.http.get(f"{home.served[0].url}/s/{wrong}") as page:
                    assert (page.status, page.headers["x-robots-tag"]) == (404, "noindex, nofollow")
                async with reader(home, wrong) as line:
                    assert await line.closed() == 4404
            async with home.http.get(f"{home.served[0].url}/s/{token}") as page:
                assert page.status == 200

    run(main())


def test_a_link_ends_at_once_for_who_follows_it_at_another_server() -> None:
    async def main() -> None:
        async with house(servers=2) as home:
            name = await home.conversation(title="x")
            path = f"/api/conversations/{name}/share"
            for end in ("DELETE", "POST"):  # a new link ends the one before
                token = await share(home, name)
                async with (
                    reader(home, token, home.served[1]) as line,
                    home.events(f"{home.served[1].url}/api/shared/{token}/events") as events,
                ):
                    await line.send(type="follow", conversation=name)
                    await line.expect("snapshot")
                    await events.event()
                    await home.call(end, path, expect=204 if end == "DELETE" else 201)
                    await home.say(name, HIDDEN)
                    assert await line.frame() == {"type": "unshared"}
                    assert await line.closed() == 4404
                    assert await events.all() == [{"type": "unshared"}]
                await home.call("GET", f"/api/shared/{token}", expect=404)

    run(main())


def test_a_link_is_gone_with_its_conversation_and_hashed_at_rest() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            token = await share(home, name)
            kept = await asyncio.to_thread(everything, home.redis.url)
            assert token not in kept
            assert token[34:] not in kept
            async with reader(home, token) as line:
                await line.send(type="follow", conversation=name)
                await line.expect("snapshot")
                await home.call("DELETE", f"/api/conversations/{name}")
                assert (await line.frame())["type"] == "deleted"
            await home.call("GET", f"/api/shared/{token}", expect=404)
            await home.call("POST", f"/api/conversations/{name}/share", expect=410)

    run(main())


def everything(url: str) -> str:
    """All that Redis holds, as text."""
    client = redis.Redis.from_url(url)
    found = []
    for key in client.scan_iter():
        kind = client.type(key)
        if kind == b"hash":
            found.append(repr(client.hgetall(key)))
        elif kind == b"stream":
            found.append(repr(client.xrange(key)))
    client.close()
    return "".join(found)


def test_the_owner_is_told_that_it_is_shared() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await line.send(type="follow", conversation=name)
            assert (await line.expect("snapshot"))["about"]["shared"] == ""
            await share(home, name)
            link = (await line.expect("shared"))["link"]
            assert link
            assert (await home.call("GET", "/api/conversations"))["data"][0]["shared"] == link
            await home.call("DELETE", f"/api/conversations/{name}/share", expect=204)
            assert (await line.expect("shared"))["link"] == ""

    run(main())


def test_calls_of_functions_keep_their_length_alone() -> None:
    body: dict[str, Any] = {"type": "delta", "turn": "t", "gen": 1, "offset": 0, "text": '{"é":1}', "channel": "tool"}
    told: dict[str, Any] = json.loads(shared.shown("delta", json.dumps(body, separators=(",", ":")).encode()))
    assert told == body | {"text": " " * len(body["text"].encode())}
    plain = b'{"type":"delta","text":"\\"channel\\":\\"tool\\""}'
    assert shared.shown("delta", plain) is plain


def test_those_who_look_are_told_how_many_they_are() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as one:
            name = await home.conversation(title="x")
            await one.send(type="follow", conversation=name, presence=True)
            await one.expect("snapshot")
            assert (await one.expect("presence"))["watching"] == 1
            async with reader(home, await share(home, name)) as other:
                await other.send(type="follow", conversation=name, presence=True)
                await other.expect("snapshot")
                assert (await other.expect("presence"))["watching"] == 2
                assert [each["type"] for each in await one.until("presence")] == ["shared", "presence"]
            assert (await one.expect("presence"))["watching"] == 1

    run(main())
