"""The Durable Streams view of a response on the wire; its official client is in tests/compat/node."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from parley.server import durable_streams
from parley.server.config import Choice
from tests.server.openai.harness import Office, office
from tests.server.shared import Shared, shared
from tests.store.harness import run

ORIGIN = "https://app.example"


class Stream:
    """A response as a stream, from outside."""

    def __init__(self, it: Office, response: str) -> None:
        self.response = response
        self.url = f"{it.home.served[0].url}/streams/{response}"
        self._http = it.home.http

    async def get(
        self, offset: str | None = None, live: str | None = None, *, expect: int = 200, **options: Any
    ) -> tuple[Any, aiohttp.ClientResponse]:
        """The messages and the answer."""
        params = {name: value for name, value in (("offset", offset), ("live", live)) if value is not None}
        async with self._http.get(self.url, params=params, **options) as answer:
            data = await answer.read()
            assert answer.status == expect, data
            is_json = answer.headers.get("content-type") == "application/json" and data
            return (json.loads(data) if is_json else None), answer

    async def rest(self, offset: str = "-1") -> tuple[list[Any], str]:
        """All behind an offset, long-polled to the end, and the last offset."""
        found: list[Any] = []
        closed = None
        async with asyncio.timeout(20):
            while closed is None:
                status = 200
                async with self._http.get(self.url, params={"offset": offset, "live": "long-poll"}) as answer:
                    data, status = await answer.read(), answer.status
                assert status in (200, 204), data
                found += json.loads(data) if data else []
                assert answer.headers["stream-next-offset"] >= offset or offset == "-1"
                offset = answer.headers["stream-next-offset"]
                closed = answer.headers.get("stream-closed")
        return found, offset

    async def events(self, offset: str = "-1") -> list[tuple[str, Any]]:
        """The server-sent events of one connection, as far as it goes."""
        found: list[tuple[str, Any]] = []
        async with self._http.get(self.url, params={"offset": offset, "live": "sse"}) as answer:
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            kind = ""
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    found.append((kind, json.loads(value)))
        return found


async def begin(it: Office, script: str, model: str = "model") -> Stream:
    """A response under way."""
    made = await it.client.responses.create(model=model, input=script, background=True)
    return Stream(it, made.id)


async def whole(it: Office, response: str) -> list[Any]:
    """Its events as OpenAI's interface tells them."""
    stream = await it.client.responses.retrieve(response, stream=True)
    return [event.to_dict() async for event in stream]


def text_of(events: list[Any]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def test_what_has_ended_is_read_at_once_and_from_any_offset() -> None:
    async def main() -> None:
        async with office() as it:
            made = await it.client.responses.create(model="model", input="say 5 delay=0.01")
            stream = Stream(it, made.id)
            events, answer = await stream.get()
            assert events == await whole(it, made.id)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "private, no-cache"
            assert (answer.headers["stream-up-to-date"], answer.headers["stream-closed"]) == ("true", "true")
            end = answer.headers["stream-next-offset"]
            for number in range(len(events)):
                offset = f"0001_{number:010d}"
                assert (await stream.get(offset))[0] == events[number:]
                assert await stream.rest(offset) == (events[number:], end)
                told = await stream.events(offset)
                assert [kind for kind, _ in told] == ["data", "control"]
                assert told[0][1] == events[number:]
                assert told[1][1] == {"streamNextOffset": end, "upToDate": True, "streamClosed": True}
            # At the end, in every form: nothing more, ever [5.6, 5.7, 8].
            for offset in (end, "now"):
                empty, answer = await stream.get(offset)
                assert (empty, answer.headers["stream-closed"]) == ([], "true")
                none, answer = await stream.get(offset, "long-poll", expect=204)
                assert (none, answer.headers["stream-closed"], answer.headers["stream-next-offset"]) == (
                    None,
                    "true",
                    end,
                )
                assert answer.headers["stream-up-to-date"] == "true"
                assert [kind for kind, _ in await stream.events(offset)] == ["control"]

    run(main())


def test_head_and_tags() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await begin(it, "say 3 first=30")
            async with it.home.http.head(stream.url) as answer:
                tail = answer.headers["stream-next-offset"]
                assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
                assert answer.headers["cache-control"] == "no-store"
                assert "stream-closed" not in answer.headers
            await it.upstream.until(lambda stats: stats.active == 1)
            events, answer = await stream.get(tail[:5] + "0" * 10)
            assert [event["type"] for event in events][:2] == ["response.created", "response.queued"]
            tag = answer.headers["etag"]
            again, same = await stream.get("-1", headers={"If-None-Match": f'"x", {tag}'}, expect=304)
            assert (again, same.headers["etag"]) == (None, tag)
            waiting, answer = await stream.get("now")
            assert waiting == []
            assert ("etag" in answer.headers, answer.headers["cache-control"]) == (False, "no-store")
            await it.client.responses.cancel(stream.response)
            await stream.rest()
            _, changed = await stream.get("-1", headers={"If-None-Match": tag})
            assert changed.headers["etag"] != tag
            assert changed.headers["stream-closed"] == "true"

    run(main())


@pytest.mark.parametrize("live", ["long-poll", "sse"])
def test_what_runs_is_followed_to_its_end(live: str) -> None:
    async def main() -> None:
        async with office() as it:
            stream = await begin(it, "say 30 delay=0.02")
            if live == "sse":
                told = await stream.events()
                found = [event for kind, batch in told if kind == "data" for event in batch]
                controls = [value for kind, value in told if kind == "control"]
                assert len(controls) > 2, "as it comes"
                assert all(int(control["streamCursor"]) > 0 for control in controls[:-1])
                offsets = [control["streamNextOffset"] for control in controls]
                assert offsets == sorted(offsets)
                assert controls[-1]["streamClosed"] is True
            else:
                found, _ = await stream.rest()
            assert found == await whole(it, stream.response)
            assert text_of(found) == "".join(f"t:{at:04d} " for at in range(30))

    run(main())


def test_a_poll_that_nothing_comes_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable_streams, "POLL_SECONDS", 0.2)

    async def main() -> None:
        async with office(workers=0) as it:
            stream = await begin(it, "hello")
            none, answer = await stream.get("now", "long-poll", expect=204)
            assert none is None
            assert answer.headers["stream-up-to-date"] == "true"
            assert "stream-closed" not in answer.headers
            cursor = answer.headers["stream-cursor"]
            params = {"offset": answer.headers["stream-next-offset"], "live": "long-poll", "cursor": cursor}
            async with it.home.http.get(stream.url, params=params) as answer:
                assert answer.status == 204
                assert int(answer.headers["stream-cursor"]) > int(cursor)

    run(main())


def test_server_sent_events_end_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """[10.2] The reader comes back with its offset."""
    monkeypatch.setattr(durable_streams, "STREAM_SECONDS", 0.05)

    async def main() -> None:
        async with office() as it:
            stream = await begin(it, "say 60 delay=0.02")
            found: list[Any] = []
            offset, rounds, closed = "-1", 0, False
            while not closed:
                told = await stream.events(offset)
                found += [event for kind, batch in told if kind == "data" for event in batch]
                offset = told[-1][1]["streamNextOffset"]
                closed = told[-1][1].get("streamClosed", False)
                rounds += 1
            assert rounds > 1
            assert found == await whole(it, stream.response)

    run(main())


def test_a_long_stream_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable_streams, "PART_BYTES", 2000)

    async def main() -> None:
        async with office() as it:
            made = await it.client.responses.create(model="model", input="say 40 delay=0.01")
            stream = Stream(it, made.id)
            first, answer = await stream.get()
            assert "stream-up-to-date" not in answer.headers
            assert "stream-closed" not in answer.headers
            assert 0 < len(first) < 20
            found, _ = await stream.rest()
            assert found == await whole(it, made.id)
            told = await stream.events()
            assert [event for kind, batch in told if kind == "data" for event in batch] == found
            assert [control.get("upToDate") for kind, control in told if kind == "control"][-2:] == [None, True]

    run(main())


def test_a_takeover_is_not_seen() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await begin(it, "say 40 delay=0.02")
            following = asyncio.create_task(stream.events())
            polling = asyncio.create_task(stream.rest())
            while not text_of((await stream.get())[0]):
                pass
            await it.kill("worker-0")
            it.work("worker-1")
            told = await following
            found = [event for kind, batch in told if kind == "data" for event in batch]
            assert (await polling)[0] == found == await whole(it, stream.response)
            assert text_of(found) == "".join(f"t:{at:04d} " for at in range(40))

    run(main())


def test_what_was_withdrawn_is_gone() -> None:
    """A rewind: the offsets behind the opening are gone, those of the answer that stands are good."""

    async def main() -> None:
        async with office() as it:
            stream = await begin(it, "say 40 vary delay=0.05", "fickle")
            shown: list[Any] = []
            offset = "-1"
            while not text_of(shown):
                events, answer = await stream.get(offset, "long-poll")
                shown += events
                offset = answer.headers["stream-next-offset"]
            following = asyncio.create_task(stream.events())
            await it.kill("worker-0")
            it.work("worker-1")
            told = await following
            assert "streamClosed" not in told[-1][1], "it ends without an end"
            gone, answer = await stream.get(offset, expect=410)
            assert gone["error"]["code"] == "response_rewound"
            for live in ("long-poll", "sse"):
                gone, _ = await stream.get(offset, live, expect=410)
                assert gone["error"]["code"] == "response_rewound"
            found, end = await stream.rest()
            assert found == await whole(it, stream.response)
            assert text_of(found) == "".join(f"t.r2:{at:04d} " for at in range(40))
            assert end.startswith("0002_")
            # What comes before the answer is the same in both.
            assert (await stream.get("0001_0000000001"))[0] == found[1:]
            assert (await stream.get("0002_0000000007"))[0] == found[7:]

    run(main())


def test_a_poll_that_is_under_way_when_it_is_withdrawn() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await begin(it, "say 40 vary delay=0.05 hang=3 times=1", "fickle")
            shown, answer = await stream.get("-1", "long-poll")
            while text_of(shown).count(":") < 3:
                more, answer = await stream.get(answer.headers["stream-next-offset"], "long-poll")
                shown += more
            waiting = asyncio.create_task(stream.get(answer.headers["stream-next-offset"], "long-poll", expect=410))
            await it.kill("worker-0")
            it.work("worker-1")
            gone, _ = await waiting
            assert gone["error"]["code"] == "response_rewound"

    run(main())


def test_a_server_that_goes_sends_readers_away() -> None:
    async def main() -> None:
        async with office(servers=2, workers=0) as it:
            stream = await begin(it, "say 3")
            polling = asyncio.create_task(stream.get("now", "long-poll", expect=503))
            following = asyncio.create_task(stream.events("now"))
            hub = it.home.served[0].server.app.parts.hub
            while len(hub._outboxes) < 2:
                await asyncio.sleep(0.01)
            it.home.served[0].server.go()
            refused, answer = await polling
            assert refused["error"]["code"] == "server_restarting"
            assert answer.headers["retry-after"] == "1"
            assert "streamClosed" not in (await following)[-1][1]

    run(main())


def test_only_its_owner_reads_it() -> None:
    async def main() -> None:
        async with office(access_key="open sesame") as it:
            keys = [{"Authorization": "Bearer open sesame"}]
            for name in ("Ann", "Bob"):
                opened = await it.home.call("POST", "/api/sessions", {"name": name}, expect=201, headers=keys[0])
                keys.append({"Authorization": f"Bearer {opened['token']}"})
            made = await it.home.call("POST", "/v1/responses", {"model": "model", "input": "hello"}, headers=keys[1])
            stream = Stream(it, made["id"])
            for live in (None, "long-poll", "sse"):
                await stream.get("-1", live, headers=keys[1])
                for other in (keys[0], keys[2]):
                    refused, _ = await stream.get("-1", live, headers=other, expect=404)
                    assert refused["error"]["code"] == "response_not_found"
                refused, _ = await stream.get("-1", live, expect=401)
                assert refused["error"]["code"] == "not_authenticated"
            await it.home.call("DELETE", f"/v1/responses/{made['id']}", headers=keys[1])
            await stream.get("-1", headers=keys[1], expect=404)

    run(main())


def test_what_is_not_stored_has_no_stream() -> None:
    async def main() -> None:
        async with office() as it:
            events = await it.client.responses.create(model="model", input="say 9 first=0.2", stream=True, store=False)
            first = await anext(aiter(events))
            await Stream(it, first.response.id).get(expect=404)
            await events.close()

    run(main())


# Bad input.


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(models=(Choice("model"),), default="model", origins=(ORIGIN,)) as made:
        yield made


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_it_is_read_only(server: Shared, method: str) -> None:
    answer = server.request(method, "/streams/resp_x", b"[]")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/streams/x", 404, "response_not_found"),
        (f"/streams/resp_00{'0' * 32}{'1' * 16}", 404, "response_not_found"),
        ("/streams/resp_*?offset=-1&live=sse", 404, "response_not_found"),
        ("/streams/x?offset=", 400, "invalid_offset"),
        ("/streams/x?offset=0001_0000000000,2", 400, "invalid_offset"),
        ("/streams/x?offset=-1&offset=now", 400, "invalid_value"),
        ("/streams/x?live=sse", 400, "missing_parameter"),
        ("/streams/x?offset=-1&live=yes", 400, "invalid_value"),
        ("/streams/x?offset=-1&live=sse&cursor=%00", 400, "invalid_cursor"),
        ("/streams/", 404, "not_found"),
        ("/streams/x/y", 404, "not_found"),
    ],
)
def test_bad_addresses(server: Shared, path: str, status: int, code: str) -> None:
    answer = server.request("GET", path)
    assert (answer.status, answer.code) == (status, code)


def test_pages_of_other_origins_may_read_what_is_told_in_the_head(server: Shared) -> None:
    answer = server.request("GET", "/streams/x", headers={"Origin": ORIGIN})
    assert answer.status == 404
    exposed = answer.headers["access-control-expose-headers"].lower().replace(" ", "").split(",")
    assert {"stream-next-offset", "stream-closed", "stream-up-to-date", "stream-cursor", "etag"} <= set(exposed)
