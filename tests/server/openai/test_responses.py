"""Responses, with the official client against a running deployment: created in every way, followed, resumed."""

import asyncio
import itertools
import json
from typing import Any

import aiohttp
import openai
import pytest

from tests.server.harness import until
from tests.server.openai.harness import Office, office
from tests.store.harness import run
from tests.wire.openai.shapes import check_event, check_response


async def collect(stream: Any) -> list[Any]:
    """All events of a stream of the SDK, as the SDK gives them."""
    return [event async for event in stream]


def numbers(events: list[Any]) -> list[int]:
    return [event.sequence_number for event in events]


def text(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


async def raw(it: Office, path: str, body: Any = None) -> tuple[aiohttp.ClientResponse, bytes]:
    """A request as it is on the wire."""
    url = it.home.served[0].url + path
    async with it.home.http.request("GET" if body is None else "POST", url, json=body) as answer:
        return answer, await answer.read()


@pytest.mark.parametrize(
    ("stream", "background", "store"),
    [
        each
        for each in itertools.product([False, True], [False, True], [None, True, False])
        if each[1:] != (True, False)
    ],
)
def test_create_in_every_combination(stream: bool, background: bool, store: bool | None) -> None:
    async def main() -> None:
        async with office() as it:
            options: dict[str, Any] = {} if store is None else {"store": store}
            made = await it.client.responses.create(
                model="model", input="say 5", stream=stream, background=background, **options
            )
            if stream:
                events = await collect(made)
                assert numbers(events) == list(range(len(events)))
                assert text(events) == "t:0000 t:0001 t:0002 t:0003 t:0004 "
                final = events[-1].response
            elif background:
                assert made.status in ("queued", "in_progress", "completed")
                final = made
                while final.status in ("queued", "in_progress"):
                    final = await it.client.responses.retrieve(made.id)
            else:
                final = made
            assert final.status == "completed"
            assert final.output_text == "t:0000 t:0001 t:0002 t:0003 t:0004 "
            assert final.background == background
            assert final.store == (store is not False)
            if store is False:
                with pytest.raises(openai.NotFoundError) as caught:
                    await it.client.responses.retrieve(final.id)
                assert caught.value.code == "response_not_found"
                conversation = "conv_" + final.id[5:39]
                await it.home.call("GET", f"/api/conversations/{conversation}", expect=410)
            else:
                assert await it.client.responses.retrieve(final.id) == final
                replayed = await collect(await it.client.responses.retrieve(final.id, stream=True))
                assert replayed[-1].response == final

    run(main())


def test_a_stream_can_be_resumed_behind_any_event() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(model="model", input="say 8 delay=0.02 reasoning=2", stream=True)
            events = await collect(stream)
            for after in range(-1, len(events)):
                options = {} if after < 0 else {"starting_after": after}
                again = await collect(await it.client.responses.retrieve(events[0].response.id, stream=True, **options))
                assert again == events[after + 1 :]

    run(main())


def test_a_running_stream_is_joined_in_the_middle() -> None:
    async def main() -> None:
        async with office(servers=2) as it:
            stream = await it.client.responses.create(model="model", input="say 30 delay=0.02", stream=True)
            head: list[Any] = []
            async for event in stream:
                head.append(event)
                if len(head) == 10:
                    break
            await stream.close()
            other = it.connect(it.home.served[1])
            response = head[0].response.id
            rest = await collect(
                await other.responses.retrieve(response, stream=True, starting_after=head[-1].sequence_number)
            )
            whole = await collect(await it.client.responses.retrieve(response, stream=True))
            assert head + rest == whole
            assert text(whole) == "".join(f"t:{at:04d} " for at in range(30))
            await other.close()

    run(main())


def test_the_rest_is_got_after_a_worker_was_killed() -> None:
    """The SDK loses its stream while a worker is killed in the middle of the reply; its own resume gets the rest."""

    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(model="model", input="say 40 delay=0.02", stream=True)
            head = []
            async for event in stream:
                head.append(event)
                if len(head) == 12:
                    break
            await stream.close()
            await it.kill("worker-0")
            it.work("worker-b")
            response = head[0].response.id
            rest = await collect(
                await it.client.responses.retrieve(response, stream=True, starting_after=head[-1].sequence_number)
            )
            assert numbers(head + rest) == list(range(len(head) + len(rest)))
            assert text(head + rest) == "".join(f"t:{at:04d} " for at in range(40))
            assert rest[-1].response.status == "completed"
            assert await collect(await it.client.responses.retrieve(response, stream=True)) == head + rest
            assert it.upstream.stats.continued == 1

    run(main())


def test_a_takeover_that_continues_is_not_seen() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(model="model", input="say 40 delay=0.02", stream=True)
            events = []
            async for event in stream:
                events.append(event)
                if len(events) == 12:
                    await it.kill("worker-0")
                    it.work("worker-b")
            assert numbers(events) == list(range(len(events)))
            assert text(events) == "".join(f"t:{at:04d} " for at in range(40))

    run(main())


def test_a_rewind_ends_the_stream_and_not_the_response() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(model="fickle", input="say 30 delay=0.02 vary", stream=True)
            head: list[Any] = []

            async def read_on() -> None:
                async for event in stream:
                    head.append(event)
                    if len(head) == 12:
                        await it.kill("worker-0")
                        it.work("worker-b")

            with pytest.raises(openai.APIError) as caught:
                await read_on()
            response = head[0].response.id
            assert response in caught.value.message
            assert caught.value.code == "response_rewound"
            await until(lambda: it.upstream.stats.finished == 1)
            events = await collect(await it.client.responses.retrieve(response, stream=True))
            assert numbers(events) == list(range(len(events)))
            assert events[-1].response.output_text == "".join(f"t.r2:{at:04d} " for at in range(30))
            with pytest.raises(openai.BadRequestError) as refused:
                await it.client.responses.retrieve(response, stream=True, starting_after=10)
            assert refused.value.code == "response_rewound"

    run(main())


def test_a_foreground_response_that_is_stored_goes_on_without_its_client() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(model="model", input="say 20 delay=0.02", stream=True)
            first = await anext(aiter(stream))
            await stream.close()
            waiting = asyncio.create_task(it.client.responses.create(model="model", input="say 20 delay=0.02 tag=b"))
            await it.upstream.until(lambda stats: stats.by_tag.get("b") == 1)
            waiting.cancel()
            await it.upstream.until(lambda stats: stats.finished == 2)
            assert it.upstream.stats.disconnected == 0
            found = await collect(await it.client.responses.retrieve(first.response.id, stream=True))
            assert found[-1].response.status == "completed"

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_stored_stops_with_its_client(stream: bool) -> None:
    async def main() -> None:
        async with office() as it:
            options: dict[str, Any] = {"model": "model", "input": "say 500 delay=0.02", "store": False}
            if stream:
                events = await it.client.responses.create(stream=True, **options)
                async for event in events:
                    if event.type == "response.output_text.delta":
                        break
                await events.close()
            else:
                waiting = asyncio.create_task(it.client.responses.create(**options))
                await it.upstream.until(lambda stats: stats.active == 1)
                waiting.cancel()
            await it.upstream.until(lambda stats: stats.disconnected == 1)

    run(main())


def test_responses_go_on_behind_each_other() -> None:
    async def main() -> None:
        async with office() as it:
            ask = it.client.responses.create
            first = await ask(model="model", input="one", instructions="Be brief.", metadata={"a": "b"})
            second = await ask(model="model", input="two", previous_response_id=first.id)
            aside = await ask(model="model", input="aside", previous_response_id=first.id)
            third = await ask(model="model", input="three", previous_response_id=second.id)
            assert (first.output_text, second.output_text) == (
                "You said: one (2 messages)",
                "You said: two (3 messages)",
            )
            assert aside.output_text == "You said: aside (3 messages)"
            assert third.output_text == "You said: three (5 messages)"
            assert (first.instructions, second.instructions) == ("Be brief.", None)
            assert first.metadata == {"a": "b"}
            assert (first.previous_response_id, third.previous_response_id) == (None, second.id)
            unstored = await ask(model="model", input="four", previous_response_id=third.id, store=False)
            assert unstored.output_text == "You said: four (7 messages)"
            assert unstored.previous_response_id == third.id
            with pytest.raises(openai.BadRequestError) as caught:
                await ask(model="model", input="five", previous_response_id=unstored.id)
            assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")

    run(main())


def test_a_failed_model_is_a_failed_response() -> None:
    async def main() -> None:
        async with office() as it:
            made = await it.client.responses.create(model="model", input="say 5 status=400")
            assert made.status == "failed"
            assert made.error is not None
            assert made.error.code == "server_error"
            assert "scripted failure" not in made.error.message
            events = await collect(
                await it.client.responses.create(model="model", input="say 5 status=400", stream=True)
            )
            assert [event.type for event in events] == ["response.created", "response.in_progress", "response.failed"]
            after = await it.client.responses.create(model="model", input="again", previous_response_id=made.id)
            assert after.status == "completed"

    run(main())


def test_cancel() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(
                model="model", input="say 500 delay=0.02", background=True, stream=True
            )
            events: list[Any] = []
            async for event in stream:
                events.append(event)
                if len(events) == 10:
                    stopped = await it.client.responses.cancel(events[0].response.id)
                    assert stopped.status == "cancelled"
            assert events[-1].type == "response.incomplete"
            assert events[-1].response.status == "cancelled"
            assert events[-1].response.output[0].status == "incomplete"
            await it.upstream.until(lambda stats: stats.disconnected == 1)
            assert (await it.client.responses.cancel(events[0].response.id)) == events[-1].response
            assert await collect(await it.client.responses.retrieve(events[0].response.id, stream=True)) == events
            foreground = await it.client.responses.create(model="model", input="hello")
            with pytest.raises(openai.BadRequestError) as caught:
                await it.client.responses.cancel(foreground.id)
            assert caught.value.code == "response_not_background"
            done = await it.client.responses.create(model="model", input="hello", background=True)
            while (await it.client.responses.retrieve(done.id)).status != "completed":
                await asyncio.sleep(0.01)
            with pytest.raises(openai.BadRequestError) as late:
                await it.client.responses.cancel(done.id)
            assert late.value.code == "response_ended"

    run(main())


def test_an_idempotency_key_makes_a_create_safe_to_repeat() -> None:
    async def main() -> None:
        async with office() as it:
            headers = {"Idempotency-Key": "key-1"}
            made = await it.client.responses.create(model="model", input="hello", extra_headers=headers)
            again = await it.client.responses.create(model="model", input="hello", extra_headers=headers)
            assert again == made
            assert it.upstream.stats.started == 1
            with pytest.raises(openai.ConflictError) as caught:
                await it.client.responses.create(model="model", input="other", extra_headers=headers)
            assert caught.value.code == "idempotency_key_reused"
            assert caught.value.response.headers["x-should-retry"] == "false"

    run(main())


def test_input_items_are_paged() -> None:
    async def main() -> None:
        async with office() as it:
            said: Any = [{"role": "user", "content": f"message {number}"} for number in range(7)]
            made = await it.client.responses.create(model="model", input=said)
            found = [item async for item in it.client.responses.input_items.list(made.id, limit=3, order="asc")]
            assert [item.content[0].text for item in found] == [f"message {number}" for number in range(7)]
            newest = await it.client.responses.input_items.list(made.id, limit=2)
            assert [item.content[0].text for item in newest.data] == ["message 6", "message 5"]
            assert newest.has_more

    run(main())


def test_the_wire_is_as_clients_need_it() -> None:
    """Frames in one piece, no ids, heartbeats with one newline, and shapes the SDK's types take without coercion."""

    async def main() -> None:
        async with office(quiet_seconds=1) as it:
            body = {"model": "model", "input": "say 3 first=2.5 delay=0.05", "stream": True}
            url = it.home.served[0].url + "/v1/responses"
            async with it.home.http.post(url, json=body) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert answer.headers["cache-control"] == "no-cache"
                assert answer.headers["x-accel-buffering"] == "no"
                assert answer.headers["x-request-id"]
                chunks = [chunk async for chunk, end in answer.content.iter_chunks() if end]
            data = b"".join(chunks)
            assert data.count(b": hb\n") >= 1
            assert b": hb\n\n" not in data
            assert b"\nid:" not in data
            assert b"retry:" not in data
            frames = [frame for frame in data.replace(b": hb\n", b"").split(b"\n\n") if frame]
            assert frames.pop() == b"data: [DONE]"
            assert sorted(chunk for chunk in chunks if chunk not in (b"", b": hb\n")) == sorted(
                frame + b"\n\n" for frame in [*frames, b"data: [DONE]"]
            )
            for number, frame in enumerate(frames):
                name, line = frame.split(b"\n")
                event = json.loads(line.removeprefix(b"data: "))
                assert name == b"event: " + event["type"].encode()
                assert event["sequence_number"] == number
                check_event(event)
            _, got = await raw(it, "/v1/responses/" + event["response"]["id"])
            assert json.loads(got) == event["response"]
            check_response(event["response"])

    run(main())
