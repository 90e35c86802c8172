"""Function tools and text formats go through to the model, and come back as OpenAI's clients know them."""

import json
from typing import Any

import openai
import pytest

from parley.client.client import AsyncClient
from tests.server.openai.harness import Office, office
from tests.store.harness import run

TOOL = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": None}
CHAT_TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}


def asked(it: Office) -> dict[str, Any]:
    """What the model was asked last."""
    return it.upstream.seen[-1].body


def test_a_response_calls_and_goes_on() -> None:
    async def main() -> None:
        async with office() as it:
            made = await it.client.responses.create(
                model="model",
                input="say 1 calls=2 tag=look",
                tools=[TOOL, {"type": "web_search"}],
                tool_choice={"type": "function", "name": "look"},
                parallel_tool_calls=False,
            )
            assert asked(it)["tools"] == [CHAT_TOOL]
            assert asked(it)["tool_choice"] == {"type": "function", "function": {"name": "look"}}
            assert asked(it)["parallel_tool_calls"] is False
            assert [tool.to_dict() for tool in made.tools] == [TOOL]
            message, one, two = made.output
            assert message.type == "message"
            assert [json.loads(call.arguments) for call in (one, two)] == [{"number": 0}, {"number": 1}]
            assert one.call_id != two.call_id
            said: Any = [
                {"type": "function_call_output", "call_id": one.call_id, "output": "blue"},
                {
                    "type": "function_call_output",
                    "call_id": two.call_id,
                    "output": [{"type": "input_text", "text": "grey"}],
                },
            ]
            after = await it.client.responses.create(
                model="model", input=said, previous_response_id=made.id, tools=[TOOL]
            )
            assert after.output_text == "look:0000 "
            assert [each["role"] for each in asked(it)["messages"]] == ["user", "assistant", "tool", "tool"]
            assistant, first, second = asked(it)["messages"][1:]
            assert [call["id"] for call in assistant["tool_calls"]] == [one.call_id, two.call_id]
            assert (first["content"], second["content"]) == ("blue", "grey")
            kept = [item.type async for item in it.client.responses.input_items.list(after.id)]
            assert kept == ["function_call_output", "function_call_output"]

    run(main())


def test_calls_stream_with_their_arguments() -> None:
    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(
                model="model", input="say 0 calls=2 tag=look", tools=[TOOL], stream=True
            )
            events = [event async for event in stream]
            kinds = [event.type.removeprefix("response.") for event in events[2:-1]]
            one = [
                "output_item.added",
                *["function_call_arguments.delta"] * 2,
                "function_call_arguments.done",
                "output_item.done",
            ]
            assert kinds == one * 2
            assert "".join(event.delta for event in events[3:5]) == events[5].arguments == '{"number": 0}'
            again = await it.client.responses.retrieve(events[0].response.id, stream=True, starting_after=3)
            assert [event async for event in again] == events[4:]

    run(main())


def test_a_stateless_client_sends_its_calls_back() -> None:
    """What agents do that keep their history themselves: the whole output is part of the next input."""

    async def main() -> None:
        async with office() as it:
            history: list[Any] = [{"role": "user", "content": "say 1 calls=1 tag=look reasoning=1"}]
            made = await it.client.responses.create(model="model", input=history, tools=[TOOL], store=False)
            history += [item.to_dict() for item in made.output]
            history.append({"type": "function_call_output", "call_id": made.output[-1].call_id, "output": "blue"})
            after = await it.client.responses.create(model="model", input=history, tools=[TOOL], store=False)
            assert after.output_text == "look:0000 "
            assert [each["role"] for each in asked(it)["messages"]] == ["user", "assistant", "tool"]
            assert asked(it)["messages"][1]["content"] == "look:0000 "

    run(main())


def test_an_answer_needs_its_call() -> None:
    async def main() -> None:
        async with office() as it:
            create = it.client.responses.create
            made = await create(model="model", input="say 0 calls=2 tag=look", tools=[TOOL])
            calls = [call.call_id for call in made.output]
            output = {"type": "function_call_output", "output": "blue"}
            first = await create(
                model="model", input=[{**output, "call_id": calls[0]}], previous_response_id=made.id, tools=[TOOL]
            )
            # Its call is not in the newest turn.
            later = [{**output, "call_id": calls[1]}, {"role": "user", "content": "hello"}]
            for behind in ({"previous_response_id": first.id}, {"conversation": "conv_" + first.id[5:39]}):
                after = await create(model="model", input=later, store=False, **behind)
                assert after.status == "completed"
            started = it.upstream.stats.started
            for said in (
                [{**output, "call_id": "call_x"}],
                [{**output, "call_id": calls[0]}, made.output[0].to_dict()],
            ):
                with pytest.raises(openai.BadRequestError) as refused:
                    await create(model="model", input=said)
                assert (refused.value.code, refused.value.param) == ("call_not_found", "input")
            with pytest.raises(openai.BadRequestError, match="call_x"):
                await create(model="model", input=[{**output, "call_id": "call_x"}], previous_response_id=first.id)
            assert it.upstream.stats.started == started

    run(main())


def test_an_answer_may_precede_the_end_of_its_call() -> None:
    """A client that streams has the call before its response is over, and answers at once."""

    async def main() -> None:
        async with office() as it:
            asked = {"model": "model", "tools": [TOOL]}
            stream = await it.client.responses.create(
                input="say 0 calls=1 tag=look hang=0 times=1", stream=True, **asked
            )
            events = [await anext(stream), await anext(stream)]
            response = events[0].response.id
            output = {"type": "function_call_output", "call_id": "call_x", "output": "blue"}
            behind = await it.client.responses.create(
                input=[output, {"role": "user", "content": "hello"}],
                previous_response_id=response,
                background=True,
                **asked,
            )
            assert behind.status == "queued"
            await stream.close()

    run(main())


def test_a_call_is_never_continued() -> None:
    """A worker is lost in the middle of a call; the model that could continue text is asked for the whole again."""

    async def main() -> None:
        async with office() as it:
            stream = await it.client.responses.create(
                model="model", input="say 2 calls=40 tag=look delay=0.02", tools=[TOOL], stream=True
            )
            events = []
            async for event in stream:
                events.append(event)
                if len(events) == 30:
                    await it.kill("worker-0")
                    it.work("worker-b")
            assert it.upstream.stats.continued == 0
            assert it.upstream.stats.started == 2
            # The second answer is the same, so nothing had to be withdrawn.
            assert [event.sequence_number for event in events] == list(range(len(events)))
            calls = events[-1].response.output[1:]
            assert [json.loads(call.arguments)["number"] for call in calls] == list(range(40))

    run(main())


def test_chat_completions_call() -> None:
    async def main() -> None:
        async with office() as it:
            said: list[Any] = [{"role": "user", "content": "say 1 calls=2 tag=look"}]
            ask = it.client.chat.completions.create
            made = await ask(model="model", messages=said, tools=[CHAT_TOOL], tool_choice="auto")
            message = made.choices[0].message
            assert made.choices[0].finish_reason == "tool_calls"
            assert [json.loads(call.function.arguments) for call in message.tool_calls] == [
                {"number": 0},
                {"number": 1},
            ]
            said.append(message.to_dict())
            said += [{"role": "tool", "tool_call_id": call.id, "content": "blue"} for call in message.tool_calls]
            after = await ask(model="model", messages=said, tools=[CHAT_TOOL])
            assert after.choices[0].message.content == "look:0000 "
            assert asked(it)["messages"][1]["tool_calls"] == message.to_dict()["tool_calls"]

            arguments, names = ["", ""], []
            async for chunk in await ask(model="model", messages=said[:1], tools=[CHAT_TOOL], stream=True):
                for call in chunk.choices[0].delta.tool_calls or []:
                    if call.id:
                        names.append(call.function.name)
                    arguments[call.index] += call.function.arguments
            assert (names, arguments) == (["look", "look"], ['{"number": 0}', '{"number": 1}'])
            assert chunk.choices[0].finish_reason == "tool_calls"

    run(main())


def test_formats_go_through() -> None:
    async def main() -> None:
        async with office() as it:
            schema = {"type": "object", "properties": {"a": {"type": "string"}}}
            shape: Any = {"type": "json_schema", "name": "shape", "schema": schema, "strict": True}
            made = await it.client.responses.create(
                model="model", input="hello", text={"format": shape}, reasoning={"effort": "low"}
            )
            inner = {"name": "shape", "schema": schema, "strict": True}
            assert asked(it)["response_format"] == {"type": "json_schema", "json_schema": inner}
            assert asked(it)["reasoning_effort"] == "low"
            assert made.text.format.to_dict() == shape
            assert made.reasoning.effort == "low"
            await it.client.chat.completions.create(
                model="model",
                messages=[{"role": "user", "content": "hello"}],
                response_format={"type": "json_object"},
                stop=["x"],
                seed=7,
                max_completion_tokens=9,
            )
            body = asked(it)
            assert body["response_format"] == {"type": "json_object"}
            assert (body["stop"], body["seed"], body["max_tokens"]) == (["x"], 7, 9)

    run(main())


def test_calls_do_no_harm_on_the_native_protocol() -> None:
    """Who follows the conversation there is told of them on a channel of their own, and keeps his count of bytes."""

    async def main() -> None:
        async with office() as it:
            conversation = (await it.client.conversations.create()).id
            async with it.home.socket() as line:
                await line.send(type="follow", conversation=conversation)
                await line.expect("snapshot")
                asked = {"model": "model", "input": "say 1 calls=1 tag=look", "tools": [TOOL]}
                await it.client.responses.create(conversation=conversation, **asked)
                frames = await line.until("end")
                deltas = [frame for frame in frames if frame["type"] == "delta"]
                assert {frame.get("channel", "text") for frame in deltas} == {"text", "tool"}
                assert sum(len(frame["text"].encode()) for frame in deltas) == frames[-1]["length"]
                # And an answer in words, there, is possible without an output for the call.
                await line.send(type="say", id="1", conversation=conversation, input="never mind")
                ended = (await line.until("end"))[-1]
                assert ended["status"] == "completed"
                roles = [message["role"] for message in it.upstream.seen[-1].body["messages"]]
                assert roles == ["user", "assistant", "user"]
            async with AsyncClient(it.home.served[0].url) as client:
                turns = (await client.get(conversation)).turns
                assert turns[0].tool.startswith('{"name":"look"}')

    run(main())
