"""pydantic-ai: its models for chat completions and for responses."""

from typing import Any, Literal

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelAPIError, ModelHTTPError, NativeOutput, PromptedOutput
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

from tests.compat.place import MODEL, Place, play, tokens

both = pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel], ids=["chat", "responses"])


class Weather(BaseModel):
    """The weather somewhere."""

    city: str
    degrees: int


class Found(BaseModel):
    """What was found."""

    number: int


def model(client: AsyncOpenAI, kind: Any, name: str = MODEL) -> Model:
    made: Model = kind(name, provider=OpenAIProvider(openai_client=client))
    return made


def tag(name: str, kind: Any) -> str:
    return f"pai_{name}_{'responses' if kind is OpenAIResponsesModel else 'chat'}"


@both
def test_a_run_calls_its_tool_once(parley: Place, kind: Any) -> None:
    name = tag("look", kind)
    called: list[int] = []

    async def story(client: AsyncOpenAI) -> None:
        # Else what the model thought is said again as text, for a model that is not known to think.
        settings = OpenAIResponsesModelSettings(openai_send_reasoning_ids=True)
        agent = Agent(model(client, kind), instructions="Be brief.", model_settings=settings)

        @agent.tool_plain(name=name)
        def look(number: int) -> str:
            """Looks."""
            called.append(number)
            return f"found {number}"

        first = await agent.run(f"say 2 tag={name} calls=1 reasoning=1")
        assert (first.output, called) == (tokens(name, 2), [0])
        second = await agent.run("and now?", message_history=first.all_messages())
        # The instructions, the question, the text and its call, what was found, the answer, and the question.
        assert second.output == "You said: and now? (6 messages)"
        assert parley.asked(name) == 2
        roles = [each["role"] for each in parley.shown()["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]

    play(parley, story)


@both
def test_a_stream_of_text(parley: Place, kind: Any) -> None:
    name = tag("stream", kind)

    async def story(client: AsyncOpenAI) -> None:
        async with Agent(model(client, kind)).run_stream(f"say 8 tag={name} reasoning=2 delay=0.02") as result:
            texts = [text async for text in result.stream_text(delta=True, debounce_by=None)]
        assert "".join(texts) == tokens(name, 8)
        assert len(texts) > 1
        assert result.usage.output_tokens == 8
        assert parley.asked(name) == 1

    play(parley, story)


@both
def test_structured_output(parley: Place, kind: Any) -> None:
    async def story(client: AsyncOpenAI) -> None:
        by_call = Agent(model(client, kind), output_type=Found)
        assert (await by_call.run("say 0 tag=final_result calls=1")).output == Found(number=0)
        for form, asked in ((NativeOutput, "json_schema"), (PromptedOutput, None)):
            agent: Any = Agent(model(client, kind), output_type=form(Weather))
            assert (await agent.run("weather-in-rome")).output == Weather(city="Rome", degrees=21)
            if asked:
                assert parley.shown()["response_format"]["type"] == asked

    play(parley, story)


@both
def test_structured_output_is_streamed(parley: Place, kind: Any) -> None:
    async def story(client: AsyncOpenAI) -> None:
        agent: Any = Agent(model(client, kind), output_type=NativeOutput(Weather))
        async with agent.run_stream("weather-in-rome") as result:
            found = [each async for each in result.stream_output(debounce_by=None)]
        assert found[-1] == Weather(city="Rome", degrees=21)

    play(parley, story)


@pytest.mark.parametrize("transport", ["http", "websocket"])
def test_a_chain_of_responses(parley: Place, transport: Literal["http", "websocket"]) -> None:
    async def story(client: AsyncOpenAI) -> None:
        # The last response of the history is found by the client itself, and what is behind it is sent.
        settings = OpenAIResponsesModelSettings(openai_previous_response_id="auto", openai_transport=transport)
        agent = Agent(model(client, OpenAIResponsesModel), model_settings=settings)
        async with agent:
            first = await agent.run("hello")
            second = await agent.run("and now?", message_history=first.all_messages())
        assert second.output == "You said: and now? (3 messages)"
        response = first.response.provider_response_id
        assert response is not None
        conversation = parley.conversation(response)
        assert parley.items(conversation) == [
            ("user", "hello"),
            ("assistant", "You said: hello (1 messages)"),
            ("user", "and now?"),
            ("assistant", "You said: and now? (3 messages)"),
        ]
        assert [status for status, _ in parley.turns(conversation)] == ["completed", "completed"]

    play(parley, story)


def test_a_conversation(parley: Place) -> None:
    async def story(client: AsyncOpenAI) -> None:
        conversation = (await client.conversations.create()).id
        settings = OpenAIResponsesModelSettings(openai_conversation_id=conversation)
        agent = Agent(model(client, OpenAIResponsesModel), model_settings=settings)
        await agent.run("hello")
        async with agent.run_stream("and now?") as result:
            assert await result.get_output() == "You said: and now? (3 messages)"
        assert parley.turns(conversation) == [
            ("completed", "You said: hello (1 messages)"),
            ("completed", "You said: and now? (3 messages)"),
        ]

    play(parley, story)


@both
def test_a_model_nobody_has(parley: Place, kind: Any) -> None:
    async def story(client: AsyncOpenAI) -> None:
        with pytest.raises(ModelHTTPError) as caught:
            await Agent(model(client, kind, "nobody")).run("hello")
        assert caught.value.status_code == 404

    play(parley, story)


@both
def test_a_model_that_fails(parley: Place, kind: Any) -> None:
    name = tag("broken", kind)

    async def story(client: AsyncOpenAI) -> None:
        with pytest.raises(ModelAPIError, match="upstream refused"):
            await Agent(model(client, kind)).run(f"say 3 tag={name} status=400")
        assert parley.asked(name) == 1

    play(parley, story)


@both
def test_a_stream_that_breaks_off_never_ends_well(parley: Place, kind: Any) -> None:
    name = tag("cut", kind)

    async def story(client: AsyncOpenAI) -> None:
        texts: list[str] = []

        async def read() -> None:
            async with Agent(model(client, kind)).run_stream(f"say 9 tag={name} error=3 delay=0.02") as result:
                async for text in result.stream_text(delta=True, debounce_by=None):
                    texts.append(text)  # noqa: PERF401 - a list made at once would be lost

        with pytest.raises(ModelAPIError, match="upstream reported an error"):
            await read()
        assert "".join(texts) == tokens(name, 3)

    play(parley, story)
