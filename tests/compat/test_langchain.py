"""LangChain's ChatOpenAI, on chat completions and on responses."""

import asyncio
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient
from pydantic import BaseModel, SecretStr

from tests.compat.place import MODEL, Place, tokens

both = pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])


class Weather(BaseModel):
    """The weather somewhere."""

    city: str
    degrees: int


@tool
def look(number: int) -> str:
    """Looks.

    Args:
        number: where.
    """
    return f"found {number}"


def model(place: Place, responses: bool, **options: Any) -> ChatOpenAI:
    """A model as its users make it, but without retries, so that what happens shows."""
    chosen: dict[str, Any] = {"model": MODEL, "max_retries": 0} | options
    return ChatOpenAI(base_url=place.url, api_key=SecretStr("any"), use_responses_api=responses, **chosen)


def tag(name: str, responses: bool) -> str:
    return f"lc_{name}_{'responses' if responses else 'chat'}"


@both
def test_invoke(parley: Place, responses: bool) -> None:
    name = tag("invoke", responses)
    answer = model(parley, responses).invoke(f"say 4 tag={name}")
    assert answer.text == tokens(name, 4)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 4
    assert parley.asked(name) == 1
    if responses:
        conversation = parley.conversation(answer.response_metadata["id"])
        assert parley.items(conversation) == [("user", f"say 4 tag={name}"), ("assistant", tokens(name, 4))]


@both
def test_stream(parley: Place, responses: bool) -> None:
    name = tag("stream", responses)
    asked = f"say 6 tag={name} reasoning=2 delay=0.02"
    texts = [chunk.text for chunk in model(parley, responses).stream(asked) if chunk.text]
    assert "".join(texts) == tokens(name, 6)
    assert len(texts) > 1
    assert parley.asked(name) == 1


@both
def test_two_streams_at_once(parley: Place, responses: bool) -> None:
    async def read(chat: ChatOpenAI, name: str) -> AIMessageChunk:
        whole = AIMessageChunk(content="")
        async for chunk in chat.astream(f"say 20 tag={name} delay=0.01"):
            whole += chunk
        return whole

    async def main() -> None:
        names = [tag("one", responses), tag("two", responses)]
        # The client that it would share with everyone else belongs to the first event loop there was.
        async with DefaultAsyncHttpxClient() as carrier:
            chat = model(parley, responses, stream_usage=True, http_async_client=carrier)
            found = await asyncio.gather(*(read(chat, name) for name in names))
        assert [each.text for each in found] == [tokens(name, 20) for name in names]
        assert [each.usage_metadata and each.usage_metadata["output_tokens"] for each in found] == [20, 20]

    asyncio.run(main())


@both
@pytest.mark.parametrize("streamed", [False, True], ids=["invoke", "stream"])
def test_a_tool_is_called_and_its_result_told(parley: Place, responses: bool, streamed: bool) -> None:
    asked: list[BaseMessage] = [HumanMessage("say 1 tag=look calls=2")]
    bound = model(parley, responses).bind_tools([look])

    def ask() -> AIMessage:
        if not streamed:
            return bound.invoke(asked)
        whole = AIMessageChunk(content="")
        for chunk in bound.stream(asked):
            assert isinstance(chunk, AIMessageChunk)
            whole += chunk
        return whole

    calling = ask()
    assert [(call["name"], call["args"]) for call in calling.tool_calls] == [
        ("look", {"number": 0}),
        ("look", {"number": 1}),
    ]
    found = [look.invoke(call) for call in calling.tool_calls]
    assert all(isinstance(each, ToolMessage) for each in found)
    asked += [calling, *found]
    answer = ask()
    assert (answer.text, answer.tool_calls) == (tokens("look", 1), [])
    told = [(each["role"], each["content"]) for each in parley.shown()["messages"]]
    assert told == [
        ("user", "say 1 tag=look calls=2"),
        ("assistant", tokens("look", 1)),
        *(("tool", "found 0"), ("tool", "found 1")),
    ]


@both
def test_structured_output(parley: Place, responses: bool) -> None:
    chain = model(parley, responses).with_structured_output(Weather, method="json_schema")
    assert chain.invoke("weather-in-rome") == Weather(city="Rome", degrees=21)
    form = parley.shown()["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "Weather"
    assert set(form["json_schema"]["schema"]["properties"]) == {"city", "degrees"}


@both
def test_structured_output_by_a_call(parley: Place, responses: bool) -> None:
    class Found(BaseModel):
        """What was found."""

        number: int

    chain = model(parley, responses).with_structured_output(Found, method="function_calling")
    assert chain.invoke("say 0 tag=Found calls=1") == Found(number=0)


def test_a_chain_of_responses(parley: Place) -> None:
    """`use_previous_response_id`: what is behind the last answer is sent, and the server knows the rest."""
    chat = model(parley, True, use_previous_response_id=True)
    first = chat.invoke("hello")
    second = chat.invoke([HumanMessage("hello"), first, HumanMessage("and now?")])
    assert second.text == "You said: and now? (3 messages)"
    conversation = parley.conversation(second.response_metadata["id"])
    assert parley.conversation(first.response_metadata["id"]) == conversation
    assert parley.items(conversation) == [
        ("user", "hello"),
        ("assistant", "You said: hello (1 messages)"),
        ("user", "and now?"),
        ("assistant", "You said: and now? (3 messages)"),
    ]
    assert [status for status, _ in parley.turns(conversation)] == ["completed", "completed"]


@both
def test_a_conversation_is_bound(parley: Place, responses: bool) -> None:
    with openai.OpenAI(base_url=parley.url, api_key="any") as client:
        conversation = client.conversations.create().id
    state: dict[str, Any] = {"conversation": conversation}
    bound = model(parley, responses).bind(**(state if responses else {"extra_body": state}))
    bound.invoke("hello")
    assert "".join(chunk.text for chunk in bound.stream("and now?")) == "You said: and now? (3 messages)"
    assert parley.turns(conversation) == [
        ("completed", "You said: hello (1 messages)"),
        ("completed", "You said: and now? (3 messages)"),
    ]


@both
def test_a_model_nobody_has(parley: Place, responses: bool) -> None:
    with pytest.raises(openai.NotFoundError, match="The model 'nobody' does not exist"):
        model(parley, responses, model="nobody").invoke("hello")


@both
def test_a_model_that_fails(parley: Place, responses: bool) -> None:
    # A stored response that failed is told as such, with status 200; of a completion nothing is kept.
    kind = ValueError if responses else openai.APIStatusError
    name = tag("broken", responses)
    with pytest.raises(kind, match="upstream refused"):
        model(parley, responses, max_retries=2).invoke(f"say 3 tag={name} status=400")
    assert parley.asked(name) == (1 if responses else 3)


@both
def test_a_stream_that_breaks_off_never_ends_well(parley: Place, responses: bool) -> None:
    name = tag("cut", responses)
    texts: list[str] = []
    with pytest.raises(ValueError if responses else openai.APIError, match="upstream reported an error"):
        texts.extend(chunk.text for chunk in model(parley, responses).stream(f"say 9 tag={name} error=3 delay=0.02"))
    assert "".join(texts) == tokens(name, 3)
