"""Whatever goes away meanwhile, a client of /v1 is told so in a form it knows, and gets the whole in the end."""

import asyncio
from typing import Any

import openai
import pytest

from tests.server.openai.harness import exhaust, office
from tests.store.harness import run

SLOW: Any = {"model": "model", "input": "say 60 delay=0.03"}
WHOLE = "".join(f"t:{at:04d} " for at in range(60))


def test_a_server_that_goes_ends_its_streams_and_another_goes_on() -> None:
    async def main() -> None:
        async with office(servers=2) as it:
            stream = await it.client.responses.create(stream=True, **SLOW)
            waiting = asyncio.create_task(it.client.responses.create(**SLOW))
            unstored = asyncio.create_task(it.client.responses.create(store=False, **SLOW))
            await it.upstream.until(lambda stats: stats.active == 3)
            events: list[Any] = []
            reading = aiter(stream)
            while len(events) < 8:
                events.append(await anext(reading))
            it.home.served[0].server.go()
            with pytest.raises(openai.APIError) as caught:
                await exhaust(reading, events)
            response = events[0].response.id
            assert caught.value.code == "server_restarting"
            assert response in caught.value.message
            # It was accepted: the answer is what there is of it, not an error that asks to send it again.
            accepted = await waiting
            assert accepted.status == "in_progress"
            with pytest.raises(openai.InternalServerError) as refused:
                await unstored
            assert refused.value.status_code == 503
            other: Any = it.connect(it.home.served[1])
            rest = await other.responses.retrieve(response, stream=True, starting_after=events[-1].sequence_number)
            await exhaust(aiter(rest), events)
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert events[-1].response.output_text == WHOLE
            while (found := await other.responses.retrieve(accepted.id)).status != "completed":
                await asyncio.sleep(0.05)
            assert found.output_text == WHOLE
            await it.upstream.until(lambda stats: stats.disconnected == 1)
            await other.close()

    run(main())


def test_a_store_that_stands_still_is_waited_for() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(stream=True, **SLOW)
            events: list[Any] = []
            async for event in stream:
                events.append(event)
                if len(events) == 8:
                    await it.home.bench.command("CLIENT", "KILL", "TYPE", "PUBSUB")
                    await it.home.bench.command("CLIENT", "PAUSE", "700", "ALL")
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert events[-1].response.output_text == WHOLE

    run(main())


def test_a_deleted_conversation_ends_its_streams() -> None:
    async def main() -> None:
        async with office() as it:
            conversation = (await it.client.conversations.create()).id
            stream = await it.client.responses.create(stream=True, conversation=conversation, **SLOW)
            reading = aiter(stream)
            events = [await anext(reading) for _ in range(6)]
            await it.client.conversations.delete(conversation)
            with pytest.raises(openai.APIError) as caught:
                await exhaust(reading, events)
            assert caught.value.code == "response_deleted"
            await it.upstream.until(lambda stats: stats.disconnected == 1)

    run(main())


def test_a_waiting_response_is_followed_from_the_queue() -> None:
    """Nobody works yet: heartbeats, then everything."""

    async def main() -> None:
        async with office(workers=0, quiet_seconds=1) as it:
            made = await it.client.responses.create(model="model", input="say 3", background=True)
            assert made.status == "queued"
            assert (await it.client.responses.retrieve(made.id)).status == "queued"
            stream = await it.client.responses.retrieve(made.id, stream=True)
            events: list[Any] = []
            async for event in stream:
                events.append(event)
                if len(events) == 2:
                    assert [each.type for each in events] == ["response.created", "response.queued"]
                    await asyncio.sleep(1.5)
                    it.work()
            assert events[-1].response.output_text == "t:0000 t:0001 t:0002 "
            withdrawn = await it.client.responses.create(model="model", input="say 500 delay=0.02", background=True)
            behind = await it.client.responses.create(
                model="model", input="x", background=True, previous_response_id=withdrawn.id
            )
            assert (await it.client.responses.cancel(behind.id)).status == "cancelled"
            assert (await it.client.responses.cancel(withdrawn.id)).status == "cancelled"
            told = [event.type async for event in await it.client.responses.retrieve(behind.id, stream=True)]
            assert told == ["response.created", "response.queued", "response.incomplete"]

    run(main())
