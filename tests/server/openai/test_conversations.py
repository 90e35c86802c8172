"""Conversations and their items, shared with the native protocol; responses that are deleted; what is compacted."""

import asyncio
from typing import Any

import openai
import pytest
from openai.types.conversations import ConversationItemList
from openai.types.responses.response_item_list import ResponseItemList

from tests.server.harness import until
from tests.server.openai.harness import Office, office
from tests.store.harness import run
from tests.wire.openai.shapes import strict


async def listed(it: Office, conversation: str, **options: Any) -> list[Any]:
    return [item async for item in it.client.conversations.items.list(conversation, **options)]


def text(item: Any) -> str:
    found: str = item.content[0].text
    return found


def test_conversations_are_made_described_and_deleted() -> None:
    async def main() -> None:
        async with office() as it:
            api = it.client.conversations
            made = await api.create(metadata={"topic": "tea"}, items=[])
            assert (made.object, made.metadata) == ("conversation", {"topic": "tea"})
            assert await api.retrieve(made.id) == made
            changed = await api.update(made.id, metadata={"other": "thing"})
            assert changed.metadata == {"other": "thing"}
            assert (await api.retrieve(made.id)).metadata == {"other": "thing"}
            gone = await api.delete(made.id)
            assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
            for call in (api.retrieve, api.delete):
                with pytest.raises(openai.NotFoundError):
                    await call(made.id)
            await it.home.call("POST", "/v1/conversations")

    run(main())


def test_a_conversation_is_one_with_the_native_protocol() -> None:
    """What is said over the page's socket is listed here, and the reverse, and the model sees both."""

    async def main() -> None:
        async with office() as it:
            conversation = (await it.client.conversations.create()).id
            first = await it.client.responses.create(model="model", input="over http", conversation=conversation)
            assert first.conversation.id == conversation
            async with it.home.socket() as line:
                await line.send(type="follow", conversation=conversation)
                snapshot = await line.expect("snapshot")
                assert [turn["response"] for turn in snapshot["turns"]] == [first.id]
                await line.send(type="say", id="1", conversation=conversation, input="over the socket")
                await line.until("end")
                items = await listed(it, conversation, order="asc")
                assert [(item.role, text(item)) for item in items] == [
                    ("user", "over http"),
                    ("assistant", "You said: over http (1 messages)"),
                    ("user", "over the socket"),
                    ("assistant", "You said: over the socket (3 messages)"),
                ]
                assert items[1].id == first.output[0].id
                asked = it.client.responses.create(model="model", input="again", conversation={"id": conversation})
                again = await asked
                assert again.output_text == "You said: again (5 messages)"
                frames = await line.until("end")
                assert frames[0]["type"] == "queued"
                assert frames[0]["request"]["input"][0]["content"] == "again"

    run(main())


def test_items_are_posted_paged_and_taken_out() -> None:
    async def main() -> None:
        async with office() as it:
            api = it.client.conversations
            said: Any = [
                {"type": "message", "role": "user", "content": "my name is Ada"},
                {"role": "assistant", "content": [{"type": "output_text", "text": "hello Ada"}]},
            ]
            made = await api.create(items=said)
            added = await api.items.create(made.id, items=[{"role": "user", "content": "and I like tea"}])
            assert [text(item) for item in added.data] == ["and I like tea"]
            items = await listed(it, made.id, limit=1)
            assert [text(item) for item in items] == ["and I like tea", "hello Ada", "my name is Ada"]
            assert await listed(it, made.id, order="asc", limit=2) == items[::-1]
            assert await api.items.retrieve(items[0].id, conversation_id=made.id) == items[0]
            answered = await it.client.responses.create(model="model", input="what now?", conversation=made.id)
            assert answered.output_text == "You said: what now? (4 messages)"
            assert (await api.items.delete(items[1].id, conversation_id=made.id)).id == made.id
            with pytest.raises(openai.NotFoundError):
                await api.items.retrieve(items[1].id, conversation_id=made.id)
            answered = await it.client.responses.create(model="model", input="and now?", conversation=made.id)
            assert answered.output_text == "You said: and now? (5 messages)"
            assert len(await listed(it, made.id, limit=100)) == 6
            raw = await it.home.call("GET", f"/v1/conversations/{made.id}/items?limit=3")
            strict(ConversationItemList, raw)
            assert (raw["first_id"], raw["last_id"], raw["has_more"]) == (
                raw["data"][0]["id"],
                raw["data"][2]["id"],
                True,
            )
            empty = await api.create()
            assert await listed(it, empty.id) == []

    run(main())


def test_a_long_conversation_is_paged_through() -> None:
    async def main() -> None:
        async with office() as it:
            made = await it.client.conversations.create()
            for number in range(130):
                said = [{"role": "user", "content": f"{number}.{part}"} for part in range(2)]
                await it.client.conversations.items.create(made.id, items=said)
            expected = [f"{number}.{part}" for number in range(130) for part in range(2)]
            for limit in (7, 100):
                assert [text(item) for item in await listed(it, made.id, limit=limit)] == expected[::-1]
            assert [text(item) for item in await listed(it, made.id, limit=50, order="asc")] == expected

    run(main())


def test_two_creates_at_once_are_both_answered_in_order() -> None:
    async def main() -> None:
        async with office(workers=2) as it:
            conversation = (await it.client.conversations.create()).id
            ask = it.client.responses.create
            one, two = await asyncio.gather(
                ask(model="model", input="say 5 tag=a delay=0.02", conversation=conversation),
                ask(model="model", input="say 5 tag=b delay=0.02", conversation=conversation),
            )
            assert {one.output_text[0], two.output_text[0]} == {"a", "b"}
            items = await listed(it, conversation, order="asc")
            assert [item.role for item in items] == ["user", "assistant", "user", "assistant"]
            assert {text(items[1]), text(items[3])} == {one.output_text, two.output_text}
            assert text(items[0]).split()[2][-1] == text(items[1])[0]

    run(main())


def test_items_stand_for_themselves_in_input() -> None:
    async def main() -> None:
        async with office() as it:
            made = await it.client.responses.create(model="model", input="one")
            said: Any = [
                *[{"type": "item_reference", "id": item.id} for item in made.output],
                {"role": "user", "content": "two"},
            ]
            after = await it.client.responses.create(model="model", input=said)
            assert after.output_text == "You said: two (2 messages)"
            assert it.upstream.seen[-1].body["messages"][0] == {"role": "assistant", "content": made.output_text}
            with pytest.raises(openai.BadRequestError) as caught:
                await it.client.responses.create(
                    model="model", input=[{"type": "item_reference", "id": "msg_1"}, said[-1]]
                )
            assert (caught.value.code, caught.value.param) == ("item_not_found", "input[0].id")

    run(main())


def test_a_deleted_response_is_gone() -> None:
    async def main() -> None:
        async with office() as it:
            api = it.client.responses
            conversation = (await it.client.conversations.create()).id
            made = await api.create(model="model", input="in it", conversation=conversation)
            alone = await api.create(model="model", input="alone")
            running = await api.create(model="model", input="say 500 delay=0.02", background=True)
            await it.upstream.until(lambda stats: stats.active == 1)
            for response in (made, alone, running):
                deleted = await it.home.call("DELETE", f"/v1/responses/{response.id}")
                assert deleted == {"id": response.id, "object": "response", "deleted": True}
                for call in (api.retrieve, api.delete, api.cancel, api.input_items.list):
                    with pytest.raises(openai.NotFoundError):
                        await call(response.id)
                with pytest.raises(openai.BadRequestError):
                    await api.create(model="model", input="x", previous_response_id=response.id)
            await it.upstream.until(lambda stats: stats.active == 0)
            assert len(await listed(it, conversation)) == 2
            await it.home.call("GET", f"/api/conversations/conv_{alone.id[5:39]}", expect=410)

    run(main())


def test_tokens_are_counted_and_a_context_compacted() -> None:
    async def main() -> None:
        async with office() as it:
            counted = await it.client.responses.input_tokens.count(model="model", input="four words, about that")
            assert counted.object == "response.input_tokens"
            assert 5 <= counted.input_tokens <= 15
            made = await it.client.responses.create(model="model", input="one")
            more = await it.client.responses.input_tokens.count(input="two", previous_response_id=made.id)
            assert more.input_tokens > 15
            body = {"model": "model", "previous_response_id": made.id, "input": "two"}
            compacted = await it.home.call("POST", "/v1/responses/compact", body)
            assert compacted["object"] == "response.compaction"
            kept = compacted["output"]
            assert [item["type"] for item in kept] == ["message", "message", "compaction"]
            assert it.upstream.seen[-1].body["messages"][-1]["content"] == (
                "user: one\n\nassistant: You said: one (1 messages)\n\nuser: two"
            )
            after = await it.client.responses.create(model="model", input=[*kept, {"role": "user", "content": "three"}])
            assert after.output_text == "You said: three (4 messages)"
            assert "You said: user: one" in it.upstream.seen[-1].body["messages"][2]["content"]
            raw = await it.home.call("GET", f"/v1/responses/{after.id}/input_items")
            strict(ResponseItemList, raw)
            await until(lambda: it.upstream.stats.active == 0)

    run(main())
